/* The membership protocol (docs/membership.md, M1, M2, M4..M6, M11, M15): three members, two coordinators, at
   most FAULTS faults. `hack/dev model` checks it; README.md beside this file has the figures and the mutations.

   What is modelled, by the code's names: the record and its compare-and-swap (operator/membership/persist.cc,
   on_persisted.cc), OnHello, Adopt and AdvanceKnowing, Evict, BeginRound and AdvanceCollecting, TryForm, Form,
   FillState and FillSlots, OnViewPersisted, SettleView, Announce and AdvanceReleases of the coordinator's
   machine; OnInterrupt, OnView, TakeUp, Switch, Leave, PlanResume, Reduce and its result of a member's session.
   As in the code an event and the machine's Advance() after it are one step.

   What it leaves out:
   - Time. Every wait may end at once or later; who is killed is noticed some time later, and a live member is
     taken for dead only by a fault. So nothing here is about deadlines, back-off, beats or naps (M3, M10).
   - Reports that members' links are broken (M7 CannotReach), Suspect and the stall rule. A killed member is
     what ends a ring here.
   - Attempts of a step (Exact32), exponents, digests, checksums, checkpoints and the result (M12, M14).
     When nobody with the state is left the view begins afresh.
   - Slots in progress, a confirmed reduction that is not yet applied, a state half received: computing what is
     missing and offering it is one step, so are a confirmation, its update and the next step's sum, and receiving
     a state and Installed. An Interrupt finds a member with an empty or kept sum only in a view's first step.
   - The way from a member to the coordinator: a word is heard at once by the one that it is connected to, or by
     nobody. The way back is a stream: in order, as slow as it likes, lost as a whole when the member
     connects anew. A coordinator that is stopped is one whose words and writes are late.
   - Streams that break without cause, unless -DSTREAMS (a member then also finds the coordinator that led before).
     Where in a step a fault finds the coordinator does not matter: its step is one.
   - A pod of several processes, ranks other than the order of ids, `min` above one, the wish of a plan to shrink. */

/* What begins: ONLY=0 three members; 1 two, and a third joins; 2 two, the third joins and the second leaves;
   3 three, the second leaves. Not set: 0, 1 or 2. Faults: a member is killed; a coordinator is killed or stopped
   and the other takes over; one who lives is taken for dead; the answer to a write is lost. */
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef STEPS
#define STEPS 2
#endif
#define EPOCHS 9
#define NOBODY 2 /* no coordinator */
#define BIT(m) (1 << (m))
#define HAS(set, m) (((set) >> (m)) & 1)
#define SLOTS 7 /* three, as a mask */

mtype = { Interrupt, InstallView, FencedWord, ReleaseWord };
mtype = { Live, Killed, Fenced, Released };
mtype = { Ok, Conflict, Unknown };
mtype = { kTerm, kView };

/* Phases of a coordinator in an order that is used: it listens from Knowing on. */
#define Standby 0
#define Taking 1
#define Knowing 2
#define Waiting 3
#define Collecting 4
#define Forming 5
#define Announced 6
#define Settled 7

/* ---- the record (M1). A version has one record, so the version stands for all of it. */
byte recVersion = 1, recWriter = 0, recTerm = 1, recEpoch = 1, recNewest = 7, recPrevious = 0;

/* ---- the contents of a view, as InstallView carries them; set when somebody is told of it. */
short toldEpochs = 2;  /* as a set */
byte vMembers[EPOCHS];
byte vState[EPOCHS];   /* has_state */
byte vLeavers[EPOCHS];
bool vVoluntary[EPOCHS];
byte vResume[EPOCHS];  /* of a voluntary one: 0 until the switch decides */
byte vOwner[EPOCHS];   /* resume_slots: two bits for each slot, its owner */
byte vKept[EPOCHS];    /* which of them are kept_slots of their owner */

/* ---- the ring of an epoch: its last complete reduction and what the control words added up to (M5). */
byte reduced[EPOCHS];
byte counted[EPOCHS];

/* ---- members */
mtype status[3];
byte link[3] = NOBODY;
chan down[3] = [4] of { mtype, byte, byte }; /* kind, term, epoch */
byte heard[3];            /* highest term */
byte view[3];             /* installed or being installed; 0: none, a joiner */
byte installed[3];        /* installed_epoch */
byte interruptedEpoch[3];
bool interrupted[3], installing[3], leaving[3], reducing[3];
byte pending[3], offered[3];
bool hasState[3];
byte committed[3], sumTag[3], held[3];

/* ---- coordinators */
byte leader = 0; /* by the lease; the other one may not know yet */
byte phase[2], term[2], version[2], epoch[2], newest[2], previous[2];
byte hello[2], told[2], ready[2], warm[2], dead[2], released[2], switched[2]; /* sets of members */
byte inst[2], intr[2], state[2];         /* who reports: the newest epoch installed; interrupted; has_state */
byte kCommitted[6], kKept[6];            /* by 3 * coordinator + member */
byte force[2], announced[2], roundEpoch[2];
/* The write in flight and the view in it. */
mtype wKind[2], wAnswer[2];
bool wAir[2], wLate[2], stale[2];
byte wExpected[2], wTerm[2], wEpoch[2], wNewest[2], wPrevious[2];
byte fState[2], fLeavers[2], fResume[2], fOwner[2], fKept[2];
bool fVoluntary[2];

byte faults = FAULTS;
byte wish = 0; /* who asks to leave */

hidden byte i, j, k, n, x, y, z, e, share, c_, mt, me, word;
hidden byte begin, all, any;
hidden mtype mk;

#define RECORDED(c) (newest[c] | previous[c])
#define PARTICIPANTS(c) (RECORDED(c) & told[c] & ~dead[c] & ~released[c])
#define LINKED(c) ((link[0] == c) | ((link[1] == c) << 1) | ((link[2] == c) << 2))
#define JOINERS(c) (warm[c] & LINKED(c) & ~dead[c] & ~released[c] & ~PARTICIPANTS(c))
#define INVIEW(c) (announced[c] != 0 -> announced[c] : force[c])
#define COUNT(set) (HAS(set, 0) + HAS(set, 1) + HAS(set, 2))
#define RANK(set, m) ((m > 0 && HAS(set, 0)) + (m > 1 && HAS(set, 1)))
/* AssignRegular for three slots. */
#define REGULAR(set, m) \
  (COUNT(set) == 1 -> 7 : (COUNT(set) == 3 -> BIT(RANK(set, m)) : (RANK(set, m) == 0 -> 3 : 4)))
#define OWNER(ep, slot) ((vOwner[ep] >> (2 * (slot))) & 3)
#define OWNED(ep, m) ((OWNER(ep, 0) == m) | ((OWNER(ep, 1) == m) << 1) | ((OWNER(ep, 2) == m) << 2))
#define FRESH(ep) (!vVoluntary[ep] && vState[ep] == 0)
#define ASSIGNED(m) \
  ((!vVoluntary[view[m]] && committed[m] + 1 == vResume[view[m]]) -> OWNED(view[m], m) : REGULAR(vMembers[view[m]], m))

/* ================================================================ the coordinator's machine */

inline SayTo(c, m, kind, ep) {
  if
  :: link[m] == c && status[m] == Live -> down[m]!kind(term[c], ep)
  :: else
  fi
}

inline SendInterrupt(c, m) {
  if /* one that lies there already says the same */
  :: link[m] == c && status[m] == Live && !(down[m]??[Interrupt, eval(term[c]), eval(epoch[c])]) ->
     down[m]!Interrupt(term[c], epoch[c])
  :: else
  fi
}

inline FenceIfOut(c, m) {
#ifndef NO_FENCE
  if
  :: HAS(dead[c], m) && !HAS(RECORDED(c), m) -> SayTo(c, m, FencedWord, epoch[c])
  :: else
  fi
#else
  skip
#endif
}

/* M1: one write in flight; a late copy of an older one has lost its expected version by now. */
inline Persist(c, kind, ep, nw, pr) {
  wKind[c] = kind; wAir[c] = true; wLate[c] = false; wAnswer[c] = 0;
  wExpected[c] = version[c]; wTerm[c] = term[c]; wEpoch[c] = ep; wNewest[c] = nw; wPrevious[c] = pr
}

inline ForgetWrite(c) {
  wKind[c] = 0; wAnswer[c] = 0; stale[c] = false;
  fState[c] = 0; fLeavers[c] = 0; fResume[c] = 0; fOwner[c] = 0; fKept[c] = 0; fVoluntary[c] = false;
  if
  :: !wAir[c] -> wExpected[c] = 0; wTerm[c] = 0; wEpoch[c] = 0; wNewest[c] = 0; wPrevious[c] = 0
  :: else
  fi
}

inline CloseStreams(c) {
  j = 0;
  do
  :: j < 3 ->
     if
     :: link[j] == c -> link[j] = NOBODY; do :: len(down[j]) > 0 -> down[j]?mk, mt, me :: else -> break od
     :: else
     fi;
     j++
  :: else -> break
  od
}

inline ForgetKnowledge(c) {
  hello[c] = 0; told[c] = 0; ready[c] = 0; warm[c] = 0; inst[c] = 0; intr[c] = 0; state[c] = 0;
  j = 0;
  do :: j < 3 -> kCommitted[3 * c + j] = 0; kKept[3 * c + j] = 0; j++ :: else -> break od
}

inline Retire(c) {
  printf("coordinator %d ends\n", c);
  CloseStreams(c);
  ForgetKnowledge(c);
  phase[c] = Standby; term[c] = 0; version[c] = 0; epoch[c] = 0; newest[c] = 0; previous[c] = 0;
  dead[c] = 0; released[c] = 0; switched[c] = 0; force[c] = 0; announced[c] = 0; roundEpoch[c] = 0;
  wAir[c] = wAir[c] || wLate[c]; wLate[c] = false;
  ForgetWrite(c)
}

inline ReadRecord(c) {
  version[c] = recVersion; epoch[c] = recEpoch; newest[c] = recNewest; previous[c] = recPrevious
}

/* The second half of OnViewPersisted. */
inline Tell(c) {
  printf("coordinator %d, term %d: tells epoch %d, members %d\n", c, term[c], wEpoch[c], wNewest[c]);
  e = wEpoch[c];
  assert(!HAS(toldEpochs, e)); /* one view per epoch */
  toldEpochs = toldEpochs | BIT(e);
  vMembers[e] = wNewest[c]; vState[e] = fState[c]; vVoluntary[e] = fVoluntary[c];
  vLeavers[e] = fLeavers[c]; vResume[e] = fResume[c]; vOwner[e] = fOwner[c]; vKept[e] = fKept[c];
  if
  :: fVoluntary[c] -> announced[c] = e
  :: else -> force[c] = e; announced[c] = 0
  fi;
  phase[c] = Announced; inst[c] = 0;
  told[c] = told[c] | vMembers[e]; ready[c] = ready[c] & ~vMembers[e]; warm[c] = warm[c] & ~vMembers[e];
  j = 0;
  do
  :: j < 3 ->
     kCommitted[3 * c + j] = 0; kKept[3 * c + j] = 0;
     if
     :: HAS(vMembers[e], j) || (fVoluntary[c] && HAS(vLeavers[e], j)) ->
        told[c] = told[c] | BIT(j); ready[c] = ready[c] & ~BIT(j); SayTo(c, j, InstallView, e)
     :: else
     fi;
     j++
  :: else -> break
  od;
  intr[c] = 0; state[c] = 0
}

inline OnViewPersisted(c) {
  if
  :: stale[c] || (wNewest[c] & (dead[c] | released[c])) != 0 ->
     if :: phase[c] == Forming -> phase[c] = Waiting :: else fi
  :: else ->
#ifdef EARLY_TELL
     skip
#else
     Tell(c)
#endif
  fi;
  ForgetWrite(c);
  k = 0;
  do
  :: k < 3 ->
     FenceIfOut(c, k);
     if /* not to be remembered: it is gone, and in no record */
     :: status[k] != Live && !HAS(RECORDED(c), k) ->
        dead[c] = dead[c] & ~BIT(k); told[c] = told[c] & ~BIT(k); released[c] = released[c] & ~BIT(k);
        switched[c] = switched[c] & ~BIT(k); hello[c] = hello[c] & ~BIT(k)
     :: else
     fi;
     k++
  :: else -> break
  od
}

inline OnPersisted(c) {
  printf("coordinator %d: hears of its write: %e\n", c, wAnswer[c]);
  begin = false;
  if
  :: wAnswer[c] == Ok || (recVersion == version[c] + 1 && recWriter == c) -> /* landed */
     version[c]++; epoch[c] = wEpoch[c]; newest[c] = wNewest[c]; previous[c] = wPrevious[c];
     wAir[c] = false; wLate[c] = false;
     if
     :: wKind[c] == kTerm -> ForgetWrite(c); phase[c] = Knowing
     :: else -> inst[c] = 0; OnViewPersisted(c)
     fi
  :: else ->
     if
     :: wAnswer[c] == Unknown && recVersion == version[c] -> wAir[c] = true; wAnswer[c] = 0 /* the same pair */
     :: else ->
        wAir[c] = false; wLate[c] = false;
        if
        :: recTerm > term[c] -> Retire(c) /* Deposed */
        :: else -> /* LoseRace */
           CloseStreams(c); ForgetKnowledge(c); ForgetWrite(c);
           term[c] = (term[c] > recTerm -> term[c] : recTerm) + 1;
           ReadRecord(c);
           force[c] = 0; announced[c] = 0; phase[c] = Taking;
           Persist(c, kTerm, epoch[c], newest[c], previous[c])
        fi
     fi
  fi
}

inline OnStart(c) {
  printf("coordinator %d starts\n", c);
  begin = false;
  CloseStreams(c);
  ReadRecord(c);
  term[c] = recTerm + 1; phase[c] = Taking;
  Persist(c, kTerm, epoch[c], newest[c], previous[c])
}

inline Evict(c, m) {
  printf("coordinator %d evicts %d\n", c, m);
  dead[c] = dead[c] | BIT(m); warm[c] = warm[c] & ~BIT(m);
  hello[c] = hello[c] & ~BIT(m); ready[c] = ready[c] & ~BIT(m); inst[c] = inst[c] & ~BIT(m);
  intr[c] = intr[c] & ~BIT(m); state[c] = state[c] & ~BIT(m); kCommitted[3 * c + m] = 0; kKept[3 * c + m] = 0;
  FenceIfOut(c, m);
  begin = begin || HAS(RECORDED(c), m) && !HAS(released[c], m) && phase[c] != Knowing &&
          !(HAS(switched[c], m) && (phase[c] == Settled || phase[c] == Announced))
}

inline OnReady(c, m, ep) {
  if
  :: (phase[c] == Collecting || phase[c] == Waiting || phase[c] == Forming) && ep >= roundEpoch[c] &&
     HAS(RECORDED(c), m) && !HAS(dead[c], m) ->
     told[c] = told[c] | BIT(m); ready[c] = ready[c] | BIT(m);
     state[c] = (state[c] & ~BIT(m)) | (hasState[m] << m);
     kCommitted[3 * c + m] = committed[m];
     kKept[3 * c + m] = (hasState[m] && sumTag[m] == committed[m] + 1 -> held[m] : 0)
  :: else
  fi
}

inline OnInstalled(c, m) {
  if
  :: phase[c] == Announced && installed[m] == INVIEW(c) && !HAS(dead[c], m) -> inst[c] = inst[c] | BIT(m)
  :: else
  fi
}

inline OnHello(c, m) {
  if
  :: HAS(dead[c], m) -> FenceIfOut(c, m)
  :: else ->
     x = (view[m] == 0 && !interrupted[m]); /* IsNew */
     if
#ifdef FENCE_OLD_VIEW
     :: !x && !HAS(newest[c], m) ->
#else
     :: !x && !HAS(RECORDED(c), m) && !(wKind[c] == kView && HAS(told[c], m)) ->
#endif
#ifndef NO_FENCE
        SayTo(c, m, FencedWord, epoch[c])
#else
        skip
#endif
     :: else ->
        hello[c] = hello[c] | BIT(m); /* Bind */
        if
        :: phase[c] == Knowing || phase[c] == Announced ->
           inst[c] = (inst[c] & ~BIT(m)) | ((installed[m] == (phase[c] == Announced -> INVIEW(c) : epoch[c])) << m);
           intr[c] = (intr[c] & ~BIT(m)) | ((interrupted[m] || installing[m]) << m)
        :: else
        fi;
        if
        :: phase[c] <= Forming ->
           state[c] = (state[c] & ~BIT(m)) | (hasState[m] << m);
           kCommitted[3 * c + m] = committed[m];
           kKept[3 * c + m] = (hasState[m] && sumTag[m] == committed[m] + 1 -> held[m] : 0)
        :: else
        fi;
        if
        :: HAS(released[c], m) -> SayTo(c, m, ReleaseWord, epoch[c])
        :: else ->
           told[c] = (told[c] & ~BIT(m)) | ((!x) << m);
           if :: x -> ready[c] = ready[c] & ~BIT(m); warm[c] = warm[c] | BIT(m) :: else fi;
           if
           :: phase[c] == Collecting || phase[c] == Waiting || phase[c] == Forming ->
              if
              :: HAS(told[c], m) && HAS(RECORDED(c), m) ->
                 ready[c] = ready[c] & ~BIT(m);
                 SendInterrupt(c, m);
                 if :: phase[c] == Waiting -> phase[c] = Collecting :: else fi
              :: else
              fi
           :: phase[c] == Announced || phase[c] == Settled ->
              e = INVIEW(c);
              if /* SayAgain */
              :: phase[c] == Announced && (HAS(vMembers[e], m) || HAS(vLeavers[e], m)) && installed[m] < e &&
                 pending[m] < e ->
                 told[c] = told[c] | BIT(m); ready[c] = ready[c] & ~BIT(m); warm[c] = warm[c] & ~BIT(m);
                 SayTo(c, m, InstallView, e)
              :: else
              fi;
              begin = force[c] != 0 && installed[m] == force[c] && HAS(vMembers[force[c]], m) &&
                      (interrupted[m] || installing[m]);
              /* A process that forgot its view. */
              begin = begin || (x && !HAS(told[c], m) && HAS(vMembers[e], m))
           :: else
           fi
        fi
     fi
  fi
}

/* ---- what Core::Advance does after every event */

inline AdvanceKnowing(c) {
  if
  :: phase[c] == Knowing ->
#ifdef ADOPT_BLIND
     all = true;
#else
     all = (newest[c] & ~(hello[c] & ~dead[c] & LINKED(c) & inst[c] & ~intr[c] & state[c])) == 0;
#endif
     j = 0;
     do
     :: j < 3 -> all = all && !(HAS(newest[c], j) && kCommitted[3 * c + j] >= STEPS); j++
     :: else -> break
     od;
     if
     :: all -> /* Adopt */
        printf("coordinator %d adopts epoch %d\n", c, epoch[c]);
        force[c] = epoch[c]; phase[c] = Settled;
        x = previous[c] & ~newest[c];
        switched[c] = x & hello[c]; released[c] = released[c] | (x & ~hello[c]);
        j = 0;
        do :: j < 3 -> kCommitted[3 * c + j] = 0; kKept[3 * c + j] = 0; j++ :: else -> break od;
        inst[c] = 0; intr[c] = 0; state[c] = 0
     :: else ->
        if
        :: (RECORDED(c) & ~hello[c] & ~dead[c]) == 0 ->
           if
           :: PARTICIPANTS(c) == 0 -> roundEpoch[c] = epoch[c]; phase[c] = Waiting
           :: else -> begin = true
           fi
        :: else
        fi
     fi
  :: else
  fi
}

inline BeginRound(c) {
  if
  :: begin && phase[c] >= Knowing ->
     if :: wKind[c] == kView -> stale[c] = true :: else fi;
     if
     :: phase[c] == Collecting || phase[c] == Waiting || phase[c] == Forming
     :: else -> roundEpoch[c] = epoch[c]; announced[c] = 0
     fi;
     phase[c] = Collecting; inst[c] = 0; intr[c] = 0;
     k = 0;
     do
     :: k < 3 -> if :: HAS(PARTICIPANTS(c), k) -> SendInterrupt(c, k) :: else fi; k++
     :: else -> break
     od
  :: else
  fi;
  begin = false
}

#ifdef READY_NOT_AWAITED
#define AWAITED(c) 0
#elif defined(READY_OF_NEWEST)
#define AWAITED(c) (PARTICIPANTS(c) & newest[c])
#else
#define AWAITED(c) PARTICIPANTS(c)
#endif

inline AdvanceCollecting(c) {
  if
  :: phase[c] == Collecting && (AWAITED(c) & ~(ready[c] & LINKED(c))) == 0 -> phase[c] = Waiting
  :: else
  fi
}

inline AdvanceAnnounced(c) {
  if
  :: phase[c] == Announced && (vMembers[INVIEW(c)] & ~inst[c]) == 0 -> /* SettleView */
     if
     :: announced[c] != 0 ->
        switched[c] = switched[c] | (vMembers[force[c]] & ~vMembers[announced[c]]);
        force[c] = announced[c]; announced[c] = 0
     :: else
     fi;
     printf("coordinator %d: epoch %d is settled\n", c, force[c]);
     phase[c] = Settled; inst[c] = 0; intr[c] = 0; roundEpoch[c] = 0
  :: else
  fi
}

/* M15. Reports are heard at once, so what members have committed is known. */
inline AdvanceReleases(c) {
  if
  :: phase[c] == Settled && (PARTICIPANTS(c) & switched[c]) != 0 ->
     k = 0;
     do
     :: k < 3 ->
        if
        :: HAS(PARTICIPANTS(c) & switched[c], k) ->
           all = true; j = 0;
           do
           :: j < 3 -> all = all && (!HAS(vMembers[force[c]], j) || committed[j] >= committed[k]); j++
           :: else -> break
           od;
           if
           :: all -> released[c] = released[c] | BIT(k); SayTo(c, k, ReleaseWord, epoch[c])
           :: else
           fi
        :: else
        fi;
        k++
     :: else -> break
     od
  :: else
  fi
}

/* AssignResume: what is kept stays, the rest is dealt as evenly as it goes. In: fState, wNewest by `y`. */
inline FillSlots(c, kept) {
  z = 0; fOwner[c] = 0; /* z: taken */
  j = 0;
  do
  :: j < 3 ->
     if
     :: HAS(kept, j) ->
        i = 0;
        do
        :: i < 3 ->
           if
           :: HAS(kKept[3 * c + j], i) && !HAS(z, i) ->
              z = z | BIT(i); fOwner[c] = fOwner[c] | (j << (2 * i))
           :: else
           fi;
           i++
        :: else -> break
        od
     :: else
     fi;
     j++
  :: else -> break
  od;
  fKept[c] = z;
  n = COUNT(SLOTS & ~z); /* open */
  x = COUNT(y);
  j = 0; i = 0;
  do
  :: j < 3 ->
     if
     :: HAS(y, j) ->
        share = n / x + (RANK(y, j) < n % x);
        do
        :: share > 0 && i < 3 ->
           if
           :: !HAS(z, i) -> fOwner[c] = fOwner[c] | (j << (2 * i)); share--
           :: else
           fi;
           i++
        :: else -> break
        od
     :: else
     fi;
     j++
  :: else -> break
  od
}

#define STAY(c) PARTICIPANTS(c)

inline TryForm(c) {
  if
  :: phase[c] == Waiting && wKind[c] == 0 && (STAY(c) | JOINERS(c)) != 0 ->
     x = 0; z = 0; any = false; /* x: highest of who has not switched away; z: highest of all */
     j = 0;
     do
     :: j < 3 ->
        if
        :: HAS(STAY(c) & state[c], j) ->
           any = true;
           if :: kCommitted[3 * c + j] > z -> z = kCommitted[3 * c + j] :: else fi;
           if
           :: !HAS(switched[c], j) && kCommitted[3 * c + j] > x -> x = kCommitted[3 * c + j]
           :: else
           fi
        :: else
        fi;
        j++
     :: else -> break
     od;
     y = STAY(c) & ~switched[c]; /* needed */
     j = 0;
     do
     :: j < 3 ->
        if
        :: HAS(STAY(c) & switched[c] & state[c], j) && kCommitted[3 * c + j] > x -> y = y | BIT(j)
        :: else
        fi;
        j++
     :: else -> break
     od;
     fLeavers[c] = STAY(c) & ~y;
     any = (y & state[c]) != 0;
     /* x: the highest of those in the view, whose state it resumes from */
     if :: any -> x = z :: else -> x = 0 fi;
     fState[c] = 0;
     j = 0;
     do
     :: j < 3 ->
        if
        :: HAS(y & state[c], j) && kCommitted[3 * c + j] == x -> fState[c] = fState[c] | BIT(j)
        :: else
        fi;
        j++
     :: else -> break
     od;
     fResume[c] = x + 1;
     if :: !(any && z == STEPS) -> n = JOINERS(c) :: else -> n = 0 fi;
     if
     :: (y | n) != 0 ->
        /* The state is given up only when no member holds it that the record names and nobody evicted. */
        assert(any || ((hasState[0] && status[0] == Live && HAS(RECORDED(c) & ~dead[c] & ~released[c], 0)) +
                       (hasState[1] && status[1] == Live && HAS(RECORDED(c) & ~dead[c] & ~released[c], 1)) +
                       (hasState[2] && status[2] == Live && HAS(RECORDED(c) & ~dead[c] & ~released[c], 2))) == 0 ||
               recTerm > term[c]);
        switched[c] = switched[c] & ~y;
        k = y;
        y = y | n;
#ifdef KEPT_OF_ANOTHER_STEP
        FillSlots(c, k & state[c]);
#else
        FillSlots(c, fState[c]);
#endif
        fVoluntary[c] = false;
        phase[c] = Forming;
        Persist(c, kView, epoch[c] + 1, y, fLeavers[c]);
#ifdef EARLY_TELL
        Tell(c)
#endif
     :: else -> fLeavers[c] = 0; fState[c] = 0; fResume[c] = 0
     fi
  :: else
  fi
}

/* A view that nobody can come back to is forgotten, so that histories which differ in nothing else are one state. */
#define USES(m, ep) (status[m] == Live && (view[m] == ep || pending[m] == ep || offered[m] == ep || \
  down[m]??[InstallView, _, eval(ep)]))
inline ForgetViews() {
  e = 1;
  do
  :: e < EPOCHS ->
     if
     :: vMembers[e] != 0 && !USES(0, e) && !USES(1, e) && !USES(2, e) && force[0] != e && force[1] != e &&
        announced[0] != e && announced[1] != e ->
        vMembers[e] = 0; vState[e] = 0; vLeavers[e] = 0; vVoluntary[e] = false; vResume[e] = 0; vOwner[e] = 0;
        vKept[e] = 0; reduced[e] = 0; counted[e] = 0
     :: else
     fi;
     e++
  :: else -> break
  od;
  e = 0
}

inline Advance(c) {
  if
  :: phase[c] >= Knowing ->
     AdvanceKnowing(c);
     BeginRound(c);
     AdvanceCollecting(c);
     AdvanceAnnounced(c);
     AdvanceReleases(c);
     TryForm(c)
  :: else
  fi;
  begin = false
}

/* M5. Joins and leaves that come together are one change. */
#define TOLEAVE(c) (wish & vMembers[force[c]])
#define WANTSCHANGE(c) \
  (phase[c] == Settled && wKind[c] == 0 && (JOINERS(c) | TOLEAVE(c)) != 0 && \
   ((vMembers[force[c]] & ~TOLEAVE(c)) | JOINERS(c)) != 0 && committed[0] < STEPS && committed[1] < STEPS && \
   committed[2] < STEPS)

inline Announce(c) {
  printf("coordinator %d announces a change\n", c);
  begin = false;
  fVoluntary[c] = true;
  fLeavers[c] = TOLEAVE(c);
  fState[c] = vMembers[force[c]] & ~fLeavers[c];
  fResume[c] = 0; fOwner[c] = 0; fKept[c] = 0;
  Persist(c, kView, epoch[c] + 1, fState[c] | JOINERS(c), vMembers[force[c]] | (PARTICIPANTS(c) & switched[c]));
#ifdef EARLY_TELL
  Tell(c)
#endif
}

/* A killed one is missed some time later. One that is alive and was here is suspected when its stream is gone. */
#define SUSPECT(c, m) \
  (phase[c] >= Knowing && !HAS(dead[c] | released[c], m) && (HAS(RECORDED(c), m) || HAS(hello[c], m)) && \
   (status[m] != Live || (HAS(hello[c], m) && HAS(RECORDED(c), m) && link[m] != c)))

#define FALSELY(c, m) \
  (faults > 0 && leader == c && phase[c] >= Knowing && !HAS(dead[c] | released[c], m) && HAS(RECORDED(c), m) && \
   status[m] == Live && (HAS(told[c], m) || phase[c] == Knowing))

proctype Coordinator(byte c) {
end:
  do
  :: d_step { leader == c && phase[c] == Standby && !wAir[c] -> OnStart(c) }
  :: d_step { leader != c && phase[c] != Standby -> begin = false; Retire(c) }
  :: atomic {
       if
       :: d_step { wAnswer[c] != 0 -> OnPersisted(c) }
       :: d_step { leader == c && SUSPECT(c, 0) -> begin = false; Evict(c, 0) }
       :: d_step { leader == c && SUSPECT(c, 1) -> begin = false; Evict(c, 1) }
       :: d_step { leader == c && SUSPECT(c, 2) -> begin = false; Evict(c, 2) }
       /* One that slept finds all who went away gone at once. */
       :: d_step { leader != c && (SUSPECT(c, 0) || SUSPECT(c, 1) || SUSPECT(c, 2)) ->
            begin = false; i = 0;
            do
            :: i < 3 -> if :: SUSPECT(c, i) -> Evict(c, i) :: else fi; i++
            :: else -> break
            od;
            i = 0 }
       :: d_step { WANTSCHANGE(c) -> Announce(c) }
       /* A fault: somebody who lives is taken for dead. */
       :: d_step { FALSELY(c, 0) -> faults--; begin = false; Evict(c, 0) }
       :: d_step { FALSELY(c, 1) -> faults--; begin = false; Evict(c, 1) }
       :: d_step { FALSELY(c, 2) -> faults--; begin = false; Evict(c, 2) }
       fi;
       d_step { true; Advance(c) }
     }
  od
}

/* ================================================================ a member's session */

inline SayReady(m) {
  if :: link[m] != NOBODY -> OnReady(link[m], m, interruptedEpoch[m]) :: else fi
}

inline OnInterrupt(m, ep) {
  printf("member %d: Interrupt %d\n", m, ep);
  if
  :: view[m] > ep
  :: else ->
     if :: ep > interruptedEpoch[m] -> interruptedEpoch[m] = ep :: else fi;
#ifndef COMMIT_AFTER_READY
     reducing[m] = false;
#endif
     interrupted[m] = true; installing[m] = false;
     pending[m] = 0; offered[m] = 0;
     SayReady(m)
  fi
}

inline TakeUp(m, ep) {
  printf("member %d takes up epoch %d, resume %d, committed %d\n", m, ep, vResume[ep], committed[m]);
  /* Nobody goes back, and who is said to have the state has it. */
  assert(FRESH(ep) || vVoluntary[ep] || !hasState[m] || committed[m] + 1 <= vResume[ep]);
  assert(vVoluntary[ep] || !HAS(vState[ep], m) || (hasState[m] && committed[m] + 1 == vResume[ep]));
  view[m] = ep; interrupted[m] = false; leaving[m] = false; installing[m] = true; reducing[m] = false;
  if :: ep > interruptedEpoch[m] -> interruptedEpoch[m] = 0 :: else fi;
  pending[m] = 0; offered[m] = 0
}

inline Leave(m, ep) {
  printf("member %d leaves in epoch %d\n", m, ep);
  view[m] = ep; interrupted[m] = false; installing[m] = false; leaving[m] = true; reducing[m] = false;
  pending[m] = 0; offered[m] = 0;
#ifdef LEAVER_EXITS
  End(m, Released)
#endif
}

inline OnView(m, ep) {
  printf("member %d: InstallView %d\n", m, ep);
  if
#ifndef CANCELLED_VIEW
  :: ep <= interruptedEpoch[m]
#endif
  :: view[m] != 0 && ep < view[m]
  :: view[m] != 0 && ep == view[m] -> word = (installed[m] == ep && !interrupted[m])
  :: else ->
     if
     :: vVoluntary[ep] && view[m] != 0 && !interrupted[m] && !leaving[m] -> pending[m] = ep
     :: vVoluntary[ep] && interrupted[m] && installed[m] != 0
     :: else ->
        if
        :: HAS(vMembers[ep], m) -> TakeUp(m, ep)
        :: HAS(vLeavers[ep], m) -> Leave(m, ep)
        :: else
        fi
     fi
  fi
}

inline Forget(m) {
  printf("process %d is gone\n", m);
  do :: len(down[m]) > 0 -> down[m]?mk, mt, me :: else -> break od;
  link[m] = NOBODY; heard[m] = 0; view[m] = 0; installed[m] = 0; interruptedEpoch[m] = 0;
  interrupted[m] = false; installing[m] = false; leaving[m] = false; reducing[m] = false;
  pending[m] = 0; offered[m] = 0; hasState[m] = false; committed[m] = 0; sumTag[m] = 0; held[m] = 0
}

/* M15: nobody leaves with a step that a member with an older state still lacks. */
#define LACKS(x, m) (HAS(recNewest, x) && x != m && status[x] == Live && hasState[x] && committed[x] < committed[m])
inline End(m, how) {
  printf("member %d: %e\n", m, how);
  assert(how != Released || !(LACKS(0, m) || LACKS(1, m) || LACKS(2, m)));
  status[m] = how;
  Forget(m)
}

inline OnReceived(m) {
  word = 0; begin = false;
  if
#ifdef NO_TERM
  :: false
#else
  :: mt < heard[m]
#endif
  :: else ->
     assert(mt >= heard[m]); /* nothing is obeyed that a lower term says */
     heard[m] = mt;
     if
     :: mk == Interrupt -> OnInterrupt(m, me)
     :: mk == InstallView -> OnView(m, me)
     :: mk == FencedWord ->
        assert(!HAS(recNewest | recPrevious, m)); /* M2 */
        End(m, Fenced)
     :: mk == ReleaseWord -> End(m, Released)
     fi
  fi;
  if :: word && link[m] != NOBODY -> OnInstalled(link[m], m) :: else fi
}

/* Every member of the view has taken it up, and there is a state to begin with. */
#define RING(m) \
  ((!HAS(vMembers[view[m]], 0) || view[0] == view[m]) && (!HAS(vMembers[view[m]], 1) || view[1] == view[m]) && \
   (!HAS(vMembers[view[m]], 2) || view[2] == view[m]))
#define FITS(m) (hasState[m] && vResume[view[m]] != 0 && committed[m] + 1 == vResume[view[m]])
#define SERVES(x, m) (status[x] == Live && x != m && view[x] == view[m] && !interrupted[x] && FITS(x))
#define STATE(m) (FRESH(view[m]) || FITS(m) || \
  (!HAS(vState[view[m]], m) && (SERVES(0, m) || SERVES(1, m) || SERVES(2, m))))

inline Install(m) {
  printf("member %d installs epoch %d\n", m, view[m]);
  begin = false;
  e = view[m];
  if
  :: FRESH(e) -> hasState[m] = true; committed[m] = 0; held[m] = 0; sumTag[m] = 1
  :: !FRESH(e) && FITS(m)
  :: else ->
     hasState[m] = true; committed[m] = vResume[e] - 1;
#ifndef KEPT_OF_ANOTHER_STEP
     held[m] = 0; sumTag[m] = committed[m] + 1
#endif
  fi;
  x = ASSIGNED(m); /* PlanResume */
  y = (vVoluntary[e] -> 0 : vKept[e] & OWNED(e, m));
  if
#ifdef KEPT_OF_ANOTHER_STEP
  :: (held[m] & ~x) == 0 && (y & ~held[m]) == 0
#else
  :: sumTag[m] == committed[m] + 1 && (held[m] & ~x) == 0 && (y & ~held[m]) == 0
#endif
  :: else -> held[m] = 0; sumTag[m] = committed[m] + 1
  fi;
  installing[m] = false; installed[m] = e;
  if :: link[m] != NOBODY -> OnInstalled(link[m], m) :: else fi
}

#define TRAINS(m) (status[m] == Live && view[m] != 0 && !interrupted[m] && !installing[m] && !leaving[m])
#define IN(x, m) \
  (!HAS(vMembers[view[m]], x) || (TRAINS(x) && view[x] == view[m] && reducing[x] && committed[x] == committed[m]))
#define SAME(x, m) (!HAS(vMembers[view[m]], x) || offered[x] == offered[m])
#define RIGHT(x, m) (!HAS(vMembers[view[m]], x) || sumTag[x] == committed[m] + 1)
#define SUM(x, m) (HAS(vMembers[view[m]], x) -> held[x] : 0)

/* What is missing is computed and the sum is offered; the last one completes the reduction. */
inline ComputeAndReduce(m) {
  printf("member %d offers step %d of epoch %d\n", m, committed[m] + 1, view[m]);
  if :: held[m] == 0 -> sumTag[m] = committed[m] + 1 :: else fi;
  held[m] = held[m] | ASSIGNED(m);
  reducing[m] = true; offered[m] = pending[m];
  if
  :: IN(0, m) && IN(1, m) && IN(2, m) ->
     /* E9, M6: every slot exactly once, all of this step. */
     assert(RIGHT(0, m) && RIGHT(1, m) && RIGHT(2, m));
     assert((SUM(0, m) & SUM(1, m)) == 0 && (SUM(0, m) & SUM(2, m)) == 0 && (SUM(1, m) & SUM(2, m)) == 0);
     assert((SUM(0, m) | SUM(1, m) | SUM(2, m)) == SLOTS);
     reduced[view[m]] = committed[m] + 1;
     counted[view[m]] = (SAME(0, m) && SAME(1, m) && SAME(2, m) -> offered[m] : 0)
  :: else
  fi
}

inline Commit(m) {
  printf("member %d commits step %d of epoch %d\n", m, committed[m] + 1, view[m]);
  begin = false;
  assert(sumTag[m] == committed[m] + 1);
  committed[m]++; sumTag[m] = committed[m] + 1; held[m] = 0; reducing[m] = false;
  x = (offered[m] == 0 -> 0 : offered[m]);
  offered[m] = 0;
  if
#ifdef SMALLER_COUNT
  :: x != 0 && !interrupted[m] ->
#else
  :: x != 0 && counted[view[m]] == x ->
#endif
     /* Switch: everybody after the same step. */
     assert(vResume[x] == 0 || vResume[x] == committed[m] + 1);
     vResume[x] = committed[m] + 1;
     if
     :: HAS(vMembers[x], m) -> TakeUp(m, x)
     :: else -> Leave(m, x)
     fi
  :: else -> /* The next step's sum follows at once: a bound, see above. */
     if
     :: TRAINS(m) && committed[m] < STEPS -> ComputeAndReduce(m)
     :: else
     fi
  fi
}

#ifdef COMMIT_AFTER_READY
#define MAYCOMMIT(m) true
#else
#define MAYCOMMIT(m) (!interrupted[m])
#endif

/* OnStreamUp: Hello, and what nobody has acknowledged. What was on its way on the old stream is lost. */
inline Connect(m, to) {
  printf("member %d connects to coordinator %d\n", m, to);
  word = 0; begin = false;
  do :: len(down[m]) > 0 -> down[m]?mk, mt, me :: else -> break od;
  c_ = to; link[m] = c_;
  OnHello(c_, m);
  if
  :: interrupted[m] -> OnReady(c_, m, interruptedEpoch[m])
  :: !interrupted[m] && view[m] != 0 && installed[m] == view[m] -> OnInstalled(c_, m)
  :: else
  fi
}

proctype Member(byte m) {
end:
  do
  :: d_step { TRAINS(m) && !reducing[m] && committed[m] < STEPS -> ComputeAndReduce(m) }
  :: atomic {
       if
       :: d_step { status[m] == Live && link[m] != leader && phase[leader] >= Knowing -> Connect(m, leader) }
#ifdef STREAMS
       /* A fault: its stream breaks and it finds the one that led before. */
       :: d_step { faults > 0 && status[m] == Live && link[m] == leader && phase[1 - leader] >= Knowing ->
            faults--; Connect(m, 1 - leader) }
#endif
       :: d_step { down[m]?mk, mt, me -> c_ = link[m]; OnReceived(m) }
       :: d_step { status[m] == Live && installing[m] && RING(m) && STATE(m) -> c_ = link[m]; Install(m) }
       :: d_step { status[m] == Live && reducing[m] && reduced[view[m]] == committed[m] + 1 && MAYCOMMIT(m) ->
            c_ = link[m]; Commit(m) }
       fi;
       d_step { true; if :: c_ != NOBODY -> Advance(c_) :: else fi; ForgetViews() }
     }
  od
}

/* ================================================================ the record's keeper and the faults */

inline Land(c) {
  printf("a write of coordinator %d arrives, version %d on %d, epoch %d, members %d\n", c, wExpected[c] + 1, recVersion, wEpoch[c], wNewest[c]);
  if
#ifdef BLIND_WRITE
  :: true ->
#else
  :: recVersion == wExpected[c] ->
#endif
     recVersion++; recWriter = c; recTerm = wTerm[c]; recEpoch = wEpoch[c]; recNewest = wNewest[c];
     recPrevious = wPrevious[c];
     word = Ok
  :: else -> word = Conflict
  fi
}

inline Lands(c) {
  wAir[c] = false;
  Land(c);
  if :: wKind[c] != 0 -> wAnswer[c] = word :: else -> ForgetWrite(c) fi
}

/* Whoever lives and is not fenced has all steps; or has no state and waits, beside somebody who has them: a change
   that was announced too late for the last step is never switched to (AnnouncedTooLate), and Finish ends all. */
#define ATEND(m) (status[m] == Live && HAS(recNewest | recPrevious, m) && committed[m] == STEPS)
#define DONE(m) \
  (status[m] != Live || ATEND(m) || view[m] == 0 || (!hasState[m] && HAS(recNewest | recPrevious, m)))
#define NOBODYLIVES (status[0] != Live && status[1] != Live && status[2] != Live)
#define done (DONE(0) && DONE(1) && DONE(2) && (ATEND(0) || ATEND(1) || ATEND(2) || NOBODYLIVES))

#define LOSABLE (wAir[leader] && wKind[leader] != 0 && wAnswer[leader] == 0)
inline Cut(m) {
  printf("the stream of %d breaks\n", m);
  do :: len(down[m]) > 0 -> down[m]?mk, mt, me :: else -> break od;
  link[m] = NOBODY
}

proctype World() {
end:
  do
  :: d_step { wAir[0] && wAnswer[0] == 0 -> Lands(0) }
  :: d_step { wAir[1] && wAnswer[1] == 0 -> Lands(1) }
  :: d_step { wAir[0] && wKind[0] == 0 -> wAir[0] = false; ForgetWrite(0) } /* its writer is gone: lost, too */
  :: d_step { wAir[1] && wKind[1] == 0 -> wAir[1] = false; ForgetWrite(1) }
  :: d_step { wLate[0] -> wLate[0] = false; Land(0) }
  :: d_step { wLate[1] -> wLate[1] = false; Land(1) }
  /* Faults. A coordinator is killed, or only stopped: the other takes over, this one goes when it likes. */
  :: d_step { faults > 0 && phase[1 - leader] == Standby ->
       printf("coordinator %d takes over\n", 1 - leader);
       faults--; leader = 1 - leader }
  :: d_step { faults > 0 && status[0] == Live -> faults--; status[0] = Killed; Forget(0) }
  :: d_step { faults > 0 && status[1] == Live -> faults--; status[1] = Killed; Forget(1) }
  :: d_step { faults > 0 && status[2] == Live -> faults--; status[2] = Killed; Forget(2) }
  /* The answer to a write is lost: it had an effect, will have one later, or never. */
  :: d_step { faults > 0 && LOSABLE -> faults--; wAir[leader] = false; Land(leader); wAnswer[leader] = Unknown }
  :: d_step { faults > 0 && LOSABLE -> faults--; wAir[leader] = false; wLate[leader] = true; wAnswer[leader] = Unknown }
  :: d_step { faults > 0 && LOSABLE -> faults--; wAir[leader] = false; wAnswer[leader] = Unknown }
#ifdef STREAMS
  /* A stream breaks. */
  :: d_step { faults > 0 && status[0] == Live && link[0] != NOBODY -> faults--; Cut(0) }
  :: d_step { faults > 0 && status[1] == Live && link[1] != NOBODY -> faults--; Cut(1) }
  :: d_step { faults > 0 && status[2] == Live && link[2] != NOBODY -> faults--; Cut(2) }
#endif
  :: faults > 0 -> faults = 0
#ifndef PROGRESS
  :: timeout -> assert(done); break
#else
  :: timeout -> true /* an end is a cycle, too */
#endif
  od
}

/* Where it begins: epoch 1 is installed, in force and settled under coordinator 0. */
init {
  atomic {
    if
#if !defined(ONLY) || ONLY == 0
    :: true
#endif
#if !defined(ONLY) || ONLY == 1
    :: recNewest = 3 /* the third joins */
#endif
#if !defined(ONLY) || ONLY == 2
    :: recNewest = 3; wish = 2 /* the third joins and the second leaves */
#endif
#if defined(ONLY) && ONLY == 3
    :: wish = 2 /* the second leaves */
#endif
    fi;
    d_step {
      phase[0] = Settled; term[0] = 1; version[0] = 1; epoch[0] = 1; newest[0] = recNewest;
      hello[0] = 7; told[0] = recNewest; warm[0] = 7 & ~recNewest; inst[0] = recNewest; force[0] = 1;
      vMembers[1] = recNewest; vState[1] = recNewest; vResume[1] = 1;
      vOwner[1] = (recNewest == 7 -> 36 : 16);
      i = 0;
      do
      :: i < 3 ->
         status[i] = Live; link[i] = 0; heard[i] = 1;
         if
         :: HAS(recNewest, i) -> view[i] = 1; installed[i] = 1; hasState[i] = true; sumTag[i] = 1
         :: else
         fi;
         i++
      :: else -> break
      od
    };
    run Coordinator(0); run Coordinator(1); run Member(0); run Member(1); run Member(2); run World()
  }
}

#ifdef PROGRESS
ltl progress { <> [] (done) }
#endif
