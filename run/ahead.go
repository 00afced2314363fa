package run

import (
	"bytes"
	"container/heap"
	"slices"
	"sync"
)

// Ahead reads, checks and decodes blocks for Readers that are merged, in the background and in
// the order in which the merge will come to them: a merge needs a block when it has passed the
// keys before, and the indexes say where that is. So however many runs there are, few
// blocks need to be held, and they are the right ones.
//
// It is a hint and no more: a Reader that comes to a block that nobody has begun to read reads
// it itself, and errors are the Reader's when it comes to their block.
type Ahead struct {
	readers []*Reader
	most    int64
	workers sync.WaitGroup
	mu      sync.Mutex
	changed sync.Cond // of anything below
	// Guarded by mu.
	held   int64    // bytes of blocks read, or being read, and not taken
	coming upcoming // Readers with blocks that nobody has begun to read
}

// aheadOf is a Reader's part of an Ahead.
type aheadOf struct {
	a     *Ahead
	place int // among the Readers
	// Guarded by a.mu.
	busy  bool       // the source is being read, which one at a time may do
	next  int        // the first block that nobody has begun to read
	begun bool       // next is not the Reader's first
	at    int        // in a.coming; -1: not there
	queue []*fetched // the blocks before next that the Reader has not taken
}

// fetched is a block that was or is being read. Its fields belong to whoever reads it until done.
type fetched struct {
	m       *readerMemory
	payload []byte
	err     error
	size    int64
	// Guarded by Ahead.mu.
	done    bool
	dropped bool // nobody wants it any more
}

// aheadWorkers read at a time: while one waits for the disk, the other decodes.
const aheadWorkers = 2

// ReadAhead begins to read for rs, which have not begun, and holds at most that many bytes
// for them, or one block. It must be closed before their sources.
func ReadAhead(rs []*Reader, most int64) *Ahead {
	a := &Ahead{most: most}
	a.changed.L = &a.mu
	for i, r := range rs {
		if !r.done && r.next < r.end {
			r.ahead = &aheadOf{a: a, place: i, next: r.next, at: len(a.coming)}
			a.coming = append(a.coming, r)
		}
	}
	a.readers = slices.Clone(a.coming)
	heap.Init(&a.coming)
	for range min(aheadWorkers, len(a.coming)) {
		a.workers.Go(a.work)
	}
	return a
}

// Close waits until nothing is being read and gives up what was read. The Readers may go on
// without.
func (a *Ahead) Close() {
	a.mu.Lock()
	for _, r := range a.coming {
		r.ahead.at = -1
	}
	a.coming = nil
	a.changed.Broadcast()
	a.mu.Unlock()
	a.workers.Wait()
	for _, r := range a.readers {
		r.ahead.stop()
	}
}

func (a *Ahead) work() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		r, f := a.choose()
		if r == nil {
			return
		}
		i := r.ahead.next - 1
		r.ahead.begin()
		a.mu.Unlock()
		f.m = memory.reader()
		f.payload, f.err = r.fetchInto(i, f.m)
		a.mu.Lock()
		r.ahead.busy, f.done = false, true
		if f.dropped {
			a.release(f)
		}
		a.changed.Broadcast()
	}
}

// choose waits for room, and returns the Reader whose next block is to be read now, which it
// puts into that Reader's queue. It returns nil when there is nothing left to do.
func (a *Ahead) choose() (*Reader, *fetched) {
	for len(a.coming) > 0 {
		r := a.coming[0]
		b := &r.ix.Blocks[r.ahead.next]
		size := int64(b.Size) + int64(b.Payload)
		if a.held > 0 && a.held+size > a.most {
			a.changed.Wait()
			continue
		}
		f := &fetched{size: size}
		r.ahead.queue = append(r.ahead.queue, f)
		a.held += size
		r.pass()
		return r, f
	}
	return nil, nil
}

// begin waits until nobody reads the source, for the caller to do it. The caller holds a.mu.
func (o *aheadOf) begin() {
	for o.busy {
		o.a.changed.Wait()
	}
	o.busy = true
}

// pass says that the Reader's next block is read by somebody. The caller holds a.mu.
func (r *Reader) pass() {
	o := r.ahead
	o.next, o.begun = o.next+1, true
	switch {
	case o.at < 0:
	case o.next == r.end:
		heap.Remove(&o.a.coming, o.at)
	default:
		heap.Fix(&o.a.coming, o.at)
	}
}

func (a *Ahead) release(f *fetched) {
	a.held -= f.size
	if f.m != nil {
		memory.keepReader(f.m)
		f.m = nil
	}
}

// take returns the block that the Reader comes to, or nil if it is to read it itself, and
// then to say that it has.
func (r *Reader) take() *fetched {
	o, a := r.ahead, r.ahead.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(o.queue) == 0 {
		r.pass()
		o.begin()
		return nil
	}
	f := o.queue[0]
	o.queue = o.queue[1:]
	for !f.done {
		a.changed.Wait()
	}
	a.held -= f.size
	a.changed.Broadcast()
	return f
}

func (o *aheadOf) ended() {
	o.a.mu.Lock()
	defer o.a.mu.Unlock()
	o.busy = false
	o.a.changed.Broadcast()
}

// stop gives up what was read ahead, and reads no more.
func (o *aheadOf) stop() {
	a := o.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if o.at >= 0 {
		heap.Remove(&a.coming, o.at)
	}
	for _, f := range o.queue {
		if f.dropped = true; f.done {
			a.release(f)
		}
	}
	o.queue = nil
	a.changed.Broadcast()
}

// upcoming is a heap of Readers, the one whose next block is needed first on top.
type upcoming []*Reader

func (u upcoming) Len() int { return len(u) }

func (u upcoming) Swap(i, j int) {
	u[i], u[j] = u[j], u[i]
	u[i].ahead.at, u[j].ahead.at = i, j
}

func (u *upcoming) Push(x any) { *u = append(*u, x.(*Reader)) }

func (u *upcoming) Pop() any {
	last := len(*u) - 1
	r := (*u)[last]
	*u = (*u)[:last]
	r.ahead.at = -1
	return r
}

func (u upcoming) Less(i, j int) bool {
	x, y := u[i], u[j]
	if x.ahead.begun != y.ahead.begun {
		return y.ahead.begun // a merge begins with a block of each
	}
	if x.ahead.begun {
		if c := bytes.Compare(x.ix.Blocks[x.ahead.next].FirstKey, y.ix.Blocks[y.ahead.next].FirstKey); c != 0 {
			return c < 0
		}
	}
	return x.ahead.place < y.ahead.place
}
