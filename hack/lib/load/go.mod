module muster.dev/hack/load

go 1.24
