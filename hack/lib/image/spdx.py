"""The bill of materials of an image, SPDX 2.3 as JSON: every file with its sums, and the package that it came from.

It is a function of the image: no clock and no chance. Licences of packages are not guessed from their texts
(NOASSERTION); the texts are in the image, under /usr/share/doc.
"""

import datetime
import hashlib
import json
import re
import urllib.parse

from image import debian, wheels
from image.archive import architecture
from image.rootfs import OURS

UNKNOWN = "NOASSERTION"


def spdx_id(kind, name):
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def package_url(fields, distribution):
    name, version = (urllib.parse.quote(fields[key], safe="") for key in ("name", "version"))
    return (f"pkg:deb/{distribution[0]}/{name}@{version}?arch={fields['architecture']}"
            f"&distro={distribution[0]}-{distribution[1]}")


def package(identity, name, version, url, **fields):
    return {"SPDXID": identity, "name": name, "versionInfo": version, "downloadLocation": UNKNOWN,
            "filesAnalyzed": False, "licenseConcluded": UNKNOWN, "licenseDeclared": UNKNOWN, "copyrightText": UNKNOWN,
            "supplier": UNKNOWN, **fields,
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": url}]}


def debian_packages(names):
    distribution = debian.release()
    out = []
    for name, fields in sorted(debian.packages(names).items()):
        source = f"built from the source package {fields['source']} {fields['source_version']}"
        out.append(package(spdx_id("Package", name), name, fields["version"], package_url(fields, distribution),
                           supplier=f"Organization: {fields['maintainer']}", sourceInfo=source))
    return out


def wheel_packages(found):
    out = []
    for wheel in sorted(found):
        out.append(package(spdx_id("Package", wheel.name), wheel.name, wheel.version,
                           f"pkg:pypi/{wheel.name}@{wheel.version}",
                           comment=f"The SHA-256 of the package's file is {wheel.sha256}."))
    return out


def file_entries(root):
    out = []
    for path in sorted(root.origin):
        data = (root.root / path).read_bytes()
        out.append({"SPDXID": spdx_id("File", hashlib.sha256(path.encode()).hexdigest()[:16]), "fileName": f"./{path}",
                    "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(data).hexdigest()},
                                  {"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()}],
                    "licenseConcluded": UNKNOWN, "licenseInfoInFiles": [UNKNOWN], "copyrightText": UNKNOWN})
    return out


def relation(one, kind, other):
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def verification_code(files):
    """SPDX's own sum over all files of a package."""
    sums = sorted(entry["checksums"][0]["checksumValue"] for entry in files)
    return {"packageVerificationCodeValue": hashlib.sha1("".join(sums).encode()).hexdigest()}


def relations(root, files, names, inside):
    """The image holds packages in part only, so its files are its own, each with the package that it came from."""
    image, ours = spdx_id("Package", "image"), spdx_id("Package", OURS)
    out = [relation("SPDXRef-DOCUMENT", "DESCRIBES", image), relation(image, "CONTAINS", ours)]
    out += [relation(image, "CONTAINS", spdx_id("Package", name)) for name in sorted(names)]
    out += [relation(ours, "STATIC_LINK", spdx_id("Package", name)) for name in sorted(inside)]
    for entry in files:
        path = entry["fileName"].removeprefix("./")
        kind = "GENERATED_FROM" if path in root.made else "EXPANDED_FROM_ARCHIVE"
        out.append(relation(image, "CONTAINS", entry["SPDXID"]))
        out.append(relation(entry["SPDXID"], kind, spdx_id("Package", root.origin[path])))
    return out


def bill(root, inside, name, program, layer_sum, epoch):
    """The document. `name` is the image's, `inside` the packages that are compiled into our program."""
    repository, _, tag = name.rpartition(":")
    names = set(root.origin.values()) - {OURS}
    inside = {*inside, *({wheels.RUNTIME} if root.wheels else ())}
    of_index = [*root.wheels.values(), *([wheels.runtime()] if root.wheels else ())]
    of_debian = {*names, *inside} - {each.name for each in of_index}
    files = file_entries(root)
    layer = [{"algorithm": "SHA256", "checksumValue": layer_sum}]
    image = package(spdx_id("Package", "image"), repository, tag,
                    f"pkg:oci/{repository.rpartition('/')[2]}?arch={architecture()}&tag={tag}",
                    primaryPackagePurpose="CONTAINER", checksums=layer, filesAnalyzed=True,
                    packageVerificationCode=verification_code(files), licenseInfoFromFiles=[UNKNOWN],
                    comment="The checksum is that of the image's one layer, uncompressed.")
    ours = package(spdx_id("Package", OURS), OURS, program.version, f"pkg:generic/muster@{program.version}",
                   licenseDeclared="Apache-2.0", licenseConcluded="Apache-2.0",
                   comment=f"Build id {program.build_id}.")
    made = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{repository.rpartition('/')[2]}-{tag}",
        "documentNamespace": f"https://muster.dev/spdx/{repository}-{tag}-{layer_sum}",
        "creationInfo": {"created": made, "creators": ["Tool: muster-hack-image"]},
        "packages": [image, ours, *debian_packages(of_debian), *wheel_packages(of_index)],
        "files": files, "relationships": relations(root, files, names, inside)}, indent=1) + "\n"
