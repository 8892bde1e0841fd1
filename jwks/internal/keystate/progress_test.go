package keystate_test

import "fmt"

// checkProgress plays on from a world: once URLs answer, published keys are accepted, withdrawn ones end, and no doubt
// remains.
func (w *world) checkProgress() error {
	if err := w.clone().checkOneRound(); err != nil {
		return fmt.Errorf("when all have answered once: %w", err)
	}
	six := w.clone()
	six.rounds(missesOfUnknown, minute+1, -1)
	if err := six.checkSettled(true); err != nil {
		return fmt.Errorf("when all have answered six times: %w", err)
	}
	long := w.clone()
	long.rounds(52, 30*minute, -1)
	if err := long.checkSettled(false); err != nil {
		return fmt.Errorf("when all have answered for 26 hours: %w", err)
	}
	for i := range w.sites {
		if err := w.clone().checkWithout(i); err != nil {
			return fmt.Errorf("when URL %d has been down for long: %w", i, err)
		}
	}
	return nil
}

// rounds has all URLs answer n times. The one of that number fails.
func (w *world) rounds(n int, pause int32, down int) {
	for range n {
		w.now = w.now.add(pause)
		for i := range w.sites {
			if i == down {
				w.instant(action{do: fail, url: i})
			} else {
				w.instant(action{do: good, url: i})
			}
		}
	}
}

// served are the keys that servers list, except for one server.
func (w *world) served(but int) (s keySet) {
	for i := range w.sites {
		if i != but {
			s |= w.sites[i].lists
		}
	}
	return s
}

func (w *world) checkOneRound() error {
	arrived := w.seq
	w.rounds(1, second, -1)
	if accepted, served := w.candidates(), w.served(-1); served&^accepted != 0 {
		return fmt.Errorf("accepts %v of %v", accepted, served)
	}
	if !w.issuer().Absent(question("x"), arrived, issuedAt(w.now.wall), w.now.time()) {
		return fmt.Errorf("a kid that nobody ever published may exist")
	}
	return nil
}

func (w *world) anyUnsteady() bool {
	for i := range w.sites {
		if w.sites[i].ledger.unsteady(w.now, w.layout) {
			return true
		}
	}
	return false
}

// checkSettled checks that exactly the served keys are accepted, and that other kids are absent. A world in which keys
// come and go may need longer.
func (w *world) checkSettled(unlessUnsteady bool) error {
	served := w.served(-1)
	if unlessUnsteady && w.anyUnsteady() {
		served |= w.candidates()
	}
	if accepted := w.candidates(); accepted != served {
		return fmt.Errorf("accepts %v, not %v", accepted, served)
	}
	e, now := w.issuer(), w.now.time()
	for _, kid := range w.kids() {
		absent := e.Absent(question(kid), w.seq-uint64(len(w.sites)), issuedAt(w.now.wall), now)
		if want := served&named[kid] == 0; absent != want && (kid == "x" || !unlessUnsteady || !w.anyUnsteady()) {
			return fmt.Errorf("absent of kid %s is %v", kid, absent)
		}
	}
	return nil
}

// checkWithout checks that a URL that is down for long holds up kids of its own set no more, and never those of another set.
func (w *world) checkWithout(down int) error {
	w.rounds(int(max(w.maxStale, day)+3*hour)/(30*minute), 30*minute, down)
	served, alone := w.served(down), !w.standIn(down)
	if accepted := w.candidates(); accepted != served {
		return fmt.Errorf("accepts %v, not %v", accepted, served)
	}
	e, now := w.issuer(), w.now.time()
	for _, kid := range w.kids() {
		absent := e.Absent(question(kid), w.seq-uint64(len(w.sites)), issuedAt(w.now.wall), now)
		if want := served&named[kid] == 0 && !alone && !w.unreadable(down, kid); absent != want {
			return fmt.Errorf("absent of kid %s is %v", kid, absent)
		}
	}
	return nil
}
