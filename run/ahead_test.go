package run

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mrd-io/mr/collect"
)

// watched is a source that notes which blocks were read, and whether two were at a time.
type watched struct {
	blobs
	before func() // what a read waits for; may be nil

	mu   sync.Mutex
	busy bool
	bad  bool
	read []int
}

func (s *watched) ReadBlock(i int, dst []byte) ([]byte, error) {
	s.mu.Lock()
	s.bad = s.bad || s.busy
	s.busy = true
	s.read = append(s.read, i)
	s.mu.Unlock()
	if s.before != nil {
		s.before()
	}
	runtime.Gosched()
	s.mu.Lock()
	s.busy = false
	s.mu.Unlock()
	return s.blobs.ReadBlock(i, dst)
}

func slowly() { time.Sleep(time.Millisecond) }

// aheadCase is some runs and a range of them.
type aheadCase struct {
	stored []blobs
	lo, hi []byte
}

func newAheadCase(t *testing.T, seed uint64) (c aheadCase, rng *rand.Rand) {
	rng = rand.New(rand.NewPCG(seed, 11))
	for i := range 1 + rng.IntN(2*batchReaders) {
		recs := awkward(rng, int(seed%6), rng.IntN(100), i)
		for j := range recs { // some ten blocks
			recs[j].value += strings.Repeat("v", 4000)
		}
		b, _ := write(t, recs, Options{BlockSize: 1 << 10})
		c.stored = append(c.stored, b)
	}
	if seed%3 > 0 {
		key := func() []byte { return []byte(awkward(rng, int(seed%6), 1, 0)[0].key) }
		if c.lo, c.hi = key(), key(); bytes.Compare(c.lo, c.hi) > 0 {
			c.lo, c.hi = c.hi, c.lo
		}
	}
	return c, rng
}

func (c aheadCase) open(t *testing.T) (cs []collect.Cursor, rs []*Reader, srcs []*watched) {
	for _, b := range c.stored {
		s := &watched{blobs: b}
		r := NewReader(s, b.index(t), c.lo, c.hi)
		cs, rs, srcs = append(cs, r), append(rs, r), append(srcs, s)
	}
	return cs, rs, srcs
}

// What is read ahead, however far, changes nothing but who reads it, and each block is read
// once, one at a time from a source.
func TestReadAheadIsReading(t *testing.T) {
	for seed := range uint64(36) {
		c, rng := newAheadCase(t, seed)
		merge := collect.Merge
		if seed%2 == 0 {
			merge = func(cs []collect.Cursor) collect.Cursor { return Merge(cs, false) }
		}
		cs, _, _ := c.open(t)
		want := read(t, merge(cs))
		cs, rs, srcs := c.open(t)
		a := ReadAhead(rs, []int64{1, 100 << 10, 1 << 20, 1 << 30}[rng.IntN(4)])
		if seed%4 == 3 {
			a.Close() // whoever goes on reads by himself
		}
		if got := read(t, merge(cs)); !slices.Equal(got, want) {
			t.Errorf("seed %d: %d records differ from the %d that are read without", seed, len(got), len(want))
		}
		if a.held != 0 {
			t.Errorf("seed %d: at the end %d bytes are held", seed, a.held)
		}
		a.Close()
		for _, s := range srcs {
			n := len(s.read)
			if slices.Sort(s.read); s.bad || seed%4 != 3 && len(slices.Compact(s.read)) != n {
				t.Errorf("seed %d: blocks %v were read, two at a time: %v", seed, s.read, s.bad)
			}
		}
	}
}

// What is held stays within its bound, and is what the merge needs first.
func TestReadAheadHoldsLittleAndTheRight(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			c, rng := newAheadCase(t, 4+6*seed) // keys spread evenly
			c.lo, c.hi = nil, nil
			_, rs, srcs := c.open(t)
			for _, s := range srcs {
				s.before = slowly
			}
			var all, largest int64
			for _, r := range rs {
				for _, b := range r.ix.Blocks {
					all += int64(b.Size + b.Payload)
					largest = max(largest, int64(b.Size+b.Payload))
				}
			}
			most := largest + rng.Int64N(all+1)
			a := ReadAhead(rs, most)
			defer a.Close()
			time.Sleep(time.Hour)
			synctest.Wait()
			if a.held > most || a.held+largest <= most && a.held < all {
				t.Errorf("%d of %d bytes are held, at most %d are to be", a.held, all, most)
			}
			var last, first []byte // keys at which a block that was read begins, and one that was not
			begun, unread := false, false
			for i, s := range srcs {
				for j, b := range rs[i].ix.Blocks {
					was := slices.Contains(s.read, j)
					if j == 0 && !was {
						unread = true
					}
					if j > 0 && was && (last == nil || bytes.Compare(b.FirstKey, last) > 0) {
						last, begun = b.FirstKey, true
					}
					if j > 0 && !was && (first == nil || bytes.Compare(b.FirstKey, first) < 0) {
						first = b.FirstKey
					}
				}
				if s.bad {
					t.Error("two blocks of a source were read at a time")
				}
			}
			if begun && unread || first != nil && bytes.Compare(last, first) > 0 {
				t.Errorf("a block from %q on is held, and one from %q on is not; a first block is not: %v", last, first, unread)
			}
		})
	}
}

// A Reader that is faster than what reads ahead of it keeps to itself as well.
func TestReadAheadSharesASource(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			c, rng := newAheadCase(t, 4+6*seed)
			cs, rs, srcs := c.open(t)
			for _, s := range srcs {
				s.before = slowly
			}
			a := ReadAhead(rs, 1+rng.Int64N(200<<10))
			read(t, collect.Merge(cs))
			a.Close()
			if slices.ContainsFunc(srcs, func(s *watched) bool { return s.bad }) {
				t.Error("two blocks of a source were read at a time")
			}
		})
	}
}

// Whichever block can't be read or is damaged: its error comes when the merge comes to it.
func TestReadAheadTellsErrorsInOrder(t *testing.T) {
	for seed := range uint64(24) {
		c, rng := newAheadCase(t, seed)
		i := rng.IntN(len(c.stored))
		b := c.stored[i]
		if len(b) == 1 {
			continue
		}
		j := rng.IntN(len(b) - 1)
		b[j] = bytes.Clone(b[j])
		b[j][headerLen] ^= 1
		drain := func(cs []collect.Cursor) (recs []record, err error) {
			m := collect.Merge(cs)
			for m.Next() {
				recs = append(recs, record{string(m.Key()), string(m.Value())})
			}
			return recs, m.Err()
		}
		cs, _, _ := c.open(t)
		want, first := drain(cs)
		cs, rs, _ := c.open(t)
		a := ReadAhead(rs, 300<<10)
		got, err := drain(cs)
		a.Close()
		if !slices.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(first) || errors.Is(err, ErrDamaged) != errors.Is(first, ErrDamaged) {
			t.Errorf("seed %d: %d records and %v, without reading ahead %d and %v", seed, len(got), err, len(want), first)
		}
	}
}

// A merge that is given up in the middle leaves nothing behind: when Close returns, no source
// is being read, and none is read any more.
func TestReadAheadEnds(t *testing.T) {
	for seed := range uint64(24) {
		synctest.Test(t, func(t *testing.T) {
			c, rng := newAheadCase(t, seed)
			cs, rs, srcs := c.open(t)
			gate := make(chan struct{}, 1000)
			for range rng.IntN(20) {
				gate <- struct{}{}
			}
			for _, s := range srcs {
				s.before = func() { <-gate }
			}
			a := ReadAhead(rs, 500<<10)
			synctest.Wait()
			reads := func() (n int) {
				for _, s := range srcs {
					s.mu.Lock()
					n += len(s.read)
					s.mu.Unlock()
				}
				return n
			}
			go func() { // the disk answers late
				time.Sleep(time.Second)
				close(gate)
			}()
			a.Close()
			n := reads()
			if a.held != 0 {
				t.Errorf("seed %d: %d bytes are held", seed, a.held)
			}
			time.Sleep(2 * time.Second)
			if reads() != n {
				t.Errorf("seed %d: blocks were read after the end", seed)
			}
			for _, s := range srcs {
				if s.busy {
					t.Errorf("seed %d: a block is being read after the end", seed)
				}
			}
			cs[0].Next()
		})
	}
}

// A Reader that ends before its run does gives up what was read for it.
func TestReadAheadOfAReaderThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var recs []record
		for i := range 5000 {
			recs = append(recs, record{fmt.Sprintf("%06d", i), strings.Repeat("value", 30)})
		}
		b, _ := write(t, recs, Options{BlockSize: 1 << 10})
		for _, damagedBlock := range []int{0, 1} {
			bad := slices.Clone(b)
			bad[damagedBlock] = []byte("nothing")
			r := NewReader(&watched{blobs: bad, before: slowly}, b.index(t), nil, nil)
			a := ReadAhead([]*Reader{r}, 1<<20)
			for r.Next() {
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if r.Err() == nil || a.held != 0 {
				t.Errorf("after %v, %d bytes are held", r.Err(), a.held)
			}
			a.Close()
		}
	})
}
