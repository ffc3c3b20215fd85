#!/usr/bin/env bash
# The membership protocol in Promela (docs/model), for `hack/dev model`; sourced after setup.sh.

# shellcheck disable=SC2034  # used by hack/dev
packages_model=(spin gcc libc6-dev)
model_folder=$MUSTER_CACHE/model
model_seconds=180 # of processor time, the limit of one search: other work on the machine does not count
model_mib=8192    # and of its memory

# What each mutation takes away, and where it is looked for: where a person would expect it to do harm.
model_mutants=(
  'EARLY_TELL|-DONLY=0|an epoch is told before it is persisted (M1)'
  'BLIND_WRITE|-DONLY=0|the record is written without comparing (M1)'
  'NO_TERM|-DONLY=1 -DSTREAMS|a member obeys a lower term (M1)'
  'NO_FENCE|-DONLY=0 -DFAULTS=1|nobody is fenced (M2)'
  'FENCE_OLD_VIEW|-DONLY=2 -DFAULTS=1|members of the view before the newest are fenced (M2)'
  'READY_NOT_AWAITED|-DONLY=0 -DFAULTS=1|a view is formed before all have answered Ready (M4)'
  'COMMIT_AFTER_READY|-DONLY=0 -DFAULTS=1|a member commits after it has answered Ready (M4)'
  'KEPT_OF_ANOTHER_STEP|-DONLY=0 -DFAULTS=1|kept sums of another step are added (M6)'
  'SMALLER_COUNT|-DONLY=1 -DFAULTS=1|a smaller count of the control word is believed (M5)'
  'ADOPT_BLIND|-DONLY=0|the newest view is adopted without asking its members (M11)'
  'LEAVER_EXITS|-DONLY=2 -DFAULTS=1|a leaver exits at once (M15)'
)

# model_pan NAME SPIN_FLAGS GCC_FLAGS: makes $model_folder/NAME/pan.
model_pan() {
  local folder=$model_folder/$1 log
  rm -rf "$folder" && mkdir -p "$folder" && printf '%s\n' "$2" >"$folder/spin.flags" || return
  log=$folder/build.log
  # shellcheck disable=SC2086  # flags are words
  if ! (cd "$folder" && cp "$MUSTER_ROOT/docs/model/membership.pml" . && spin -a $2 membership.pml &&
    gcc -O2 -w -DVECTORSZ=2048 -DMEMLIM=$model_mib $3 -o pan pan.c) >"$log" 2>&1 || grep -q 'Error' "$log"; then
    tail -n 15 "$log" >&2
    return 1
  fi
}

# model_search NAME PAN_FLAGS: runs it within the limits; its words are in $model_folder/NAME/pan.log.
model_search() {
  local folder=$model_folder/$1
  shift
  (cd "$folder" && rm -f ./*.trail && ulimit -t "$model_seconds" && timeout 1800 ./pan "$@" >pan.log 2>&1)
}

# model_figures NAME: one line about a search that ended.
model_figures() {
  awk -v name="$1" '
    /^State-vector/ { gsub(",", ""); depth = $6 }
    /states, stored/ && !states { states = $1 }
    /total actual memory/ { memory = $1 }
    /elapsed time/ { seconds = $4 }
    /hash factor/ { factor = $3 }
    /transitions \(=/ { transitions = $1 }
    END {
      printf "%s: %s states, %s transitions, depth %s, %s MiB, %s s, ", name, states, transitions, depth, memory, seconds
      if (factor) printf "bitstate, hash factor %s\n", factor
      else print "no bitstate, no hash compaction: no state is omitted"
    }' "$model_folder/$1/pan.log"
}

# model_holds NAME PAN_FLAGS: a search that has to be complete and to find nothing.
model_holds() {
  local name=$1 status=0 log=$model_folder/$1/pan.log
  shift
  model_search "$name" "$@" || status=$?
  if [ "$status" -ge 124 ]; then
    printf 'muster: model %s: not complete after %d s of processor time (exit status %d)\n' "$name" "$model_seconds" "$status" >&2
    return 1
  fi
  if [ "$status" -ne 0 ] || ! grep -q 'errors: 0' "$log" ||
    grep -qE 'Search not completed|max search depth too small|out of memory|memory limit|aborting' "$log"; then
    grep -E 'pan:|error:|not completed|too small|memory' "$log" >&2
    model_trail "$name" >&2
    return 1
  fi
  model_figures "$name"
}

# What happened, in the model's own words.
model_trail() {
  # shellcheck disable=SC2046  # flags are words
  (cd "$model_folder/$1" && [ -f membership.pml.trail ] &&
    timeout 60 spin -t $(cat spin.flags) membership.pml 2>&1 | sed -e '/^#processes/,$d' -e 's/^ */    /')
  return 0
}

# model_one NAME SPIN_FLAGS GCC_FLAGS PAN_FLAGS
model_one() {
  # shellcheck disable=SC2086  # flags are words
  model_pan "$1" "$2" "$3" && model_holds "$1" $4
}

model_safety() {
  local failed=0
  model_one safety-join '-DONLY=1 -DFAULTS=1' -DSAFETY '-m100000 -w24' || failed=1
  model_one safety-join-and-leave '-DONLY=2 -DFAULTS=1' -DSAFETY '-m100000 -w24' || failed=1
  model_one safety-two-faults '-DONLY=0 -DFAULTS=2' '-DSAFETY -DCOLLAPSE' '-m100000 -w26' || failed=1
  return $failed
}

# The fairness is weak (-f): who can always go on does so some time.
model_progress() {
  model_one progress '-DONLY=0 -DFAULTS=1 -DPROGRESS' '-DNFAIR=3 -DCOLLAPSE' '-m100000 -w24 -a -f'
}

# model_finds NAME WHAT WORDS PAN_FLAGS: a search whose log has to say WHAT. Pan's exit status does not tell a violation
# from none, but a search that was cut short (the limits, a signal) is said to be that, and fails all the same.
model_finds() {
  local name=$1 what=$2 words=$3 status=0 log=$model_folder/$1/pan.log
  shift 3
  model_search "$name" "$@" || status=$?
  if grep -q "$what" "$log"; then return; fi
  tail -n 3 "$log" >&2
  if [ "$status" -ge 124 ]; then
    printf 'muster: model: not searched to the end (exit status %d): %s\n' "$status" "$words" >&2
  else
    printf 'muster: model: not found (exit status %d): %s\n' "$status" "$words" >&2
  fi
  return 1
}

# Each has to be found: an assertion, or an end that is none.
model_one_mutant() {
  local name=$1 flags=$2 words=$3 log=$model_folder/mutant-$1/pan.log
  model_pan "mutant-$name" "-D$name $flags" '-DSAFETY' || return
  model_finds "mutant-$name" 'errors: 1' "$name: $words" -m100000 -w22 || return
  printf '%-21s found after %s states: %s\n' "$name" "$(awk '/states, stored/ {print $1; exit}' "$log")" "$words"
}

model_all_mutants() {
  local line name flags words failed=0
  for line in "${model_mutants[@]}"; do
    IFS='|' read -r name flags words <<<"$line"
    model_one_mutant "$name" "$flags" "$words" || failed=1
  done
  # The progress search, too, must be able to fail.
  model_pan mutant-progress '-DONLY=0 -DFAULTS=1 -DPROGRESS -DNO_FENCE' '-DNFAIR=3 -DCOLLAPSE' || return
  if model_finds mutant-progress 'acceptance cycle' 'NO_FENCE, in the progress search' -m100000 -w24 -a -f; then
    echo 'NO_FENCE              found by the progress search'
  else
    failed=1
  fi
  return $failed
}
