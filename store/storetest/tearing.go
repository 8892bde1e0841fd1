package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/regionjwt/regionjwt/store"
)

// secondWriter checks that a Save at the revision that a writer loaded fails if the other one was faster, on each side, and that
// the document of the faster one stays.
func (c *check) secondWriter() {
	for i, pair := range [][2]store.Store{{c.s, c.other}, {c.other, c.s}} {
		for _, before := range []bool{false, true} { // there is a document before
			name := fmt.Sprintf("second writer %d %v", i, before)
			seen := ""
			if before {
				seen = c.save(name, "before", "", nil, "first Save")
			}
			fast, err := pair[1].Save(c.ctx, c.prefix+name, []byte("fast"), seen)
			c.want(err, nil, "Save of the faster writer")
			_, err = pair[0].Save(c.ctx, c.prefix+name, []byte("slow"), seen)
			c.want(err, store.ErrConflict, "Save of the slower writer")
			c.loads(name, "fast", fast)
		}
	}
}

// sizesOfTearing are the lengths of documents that are written in turn: some stores keep short and long ones in different ways.
var sizesOfTearing = []int{0, 1, 5000, 400_000, 1 << 20}

// turned returns the document that is written in one turn. Each byte tells the turn, as the length does.
func turned(turn int) []byte {
	return bytes.Repeat([]byte{byte(turn)}, sizesOfTearing[turn%len(sizesOfTearing)])
}

// tearing checks that a reader never gets parts of two documents, a document under the revision of another one, or none at all,
// while a writer replaces it. Each reader begins a Load between two writes, so that it meets every one of them.
func (c *check) tearing() {
	const turns = 15
	name := c.prefix + "torn"
	revision := c.save("torn", string(turned(0)), "", nil, "first Save")
	ended := make(chan struct{})
	began := []chan struct{}{make(chan struct{}), make(chan struct{})}
	var readers sync.WaitGroup
	for i, s := range []store.Store{c.s, c.other} {
		readers.Go(func() { c.readWhole(s, name, began[i], ended) })
	}
	reads := func() {
		<-began[0]
		<-began[1]
	}
	for turn := 1; turn <= turns; turn++ {
		reads()
		next, err := c.s.Save(c.ctx, name, turned(turn), revision)
		if err != nil {
			c.wrong("Save while others read: %w", err)
			break
		}
		revision = next
	}
	reads()
	close(ended)
	readers.Wait()
}

// readWhole loads a document of tearing until ended is closed. A writer that waits for began gets a value before a Load, and goes
// on if readWhole has returned.
func (c *check) readWhole(s store.Store, name string, began chan<- struct{}, ended <-chan struct{}) {
	defer close(began)
	known := map[string]int{} // the turn of each revision
	ifNot := ""
	for {
		select {
		case began <- struct{}{}:
		case <-ended:
			return
		default:
		}
		data, revision, err := s.Load(c.ctx, name, ifNot)
		turn, whole := turnOf(data)
		switch before, again := known[revision]; {
		case errors.Is(err, store.ErrNotModified) && ifNot != "":
		case err != nil:
			c.wrong("Load while another writes: %w", err)
			return
		case !whole:
			c.wrong("Load while another writes: %d bytes that nobody has written", len(data))
			return
		case again && len(data) > 0 && before != turn:
			c.wrong("Load while another writes: the revision %q has two documents", revision)
			return
		default:
			known[revision], ifNot = turn, revision
		}
	}
}

// turnOf returns the turn in which data was written. Empty documents have none.
func turnOf(data []byte) (turn int, whole bool) {
	if len(data) == 0 {
		return 0, true
	}
	turn = int(data[0])
	return turn, bytes.Equal(data, turned(turn))
}
