package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mrd-io/mr/internal/failpoint"
)

const (
	laneCount = 3       // one task need not wait for another's sync; maps of a sort on two cores: 12 % faster than 2
	laneBatch = 8 << 20 // bytes to a transaction; 16 MiB is no faster, and takes twice the memory
	laneQueue = 8 << 20 // bytes waiting; writers beyond that wait. Invariant: ≥ laneBatch
)

// chunk is some blobs of one run on their way into a volume.
type chunk struct {
	run   *pending
	first uint32   // number of the first blob
	blobs [][]byte // slices of buf
	buf   []byte
	done  chan error // the run's last chunk: told when everything before it is durable
}

// lane is a goroutine that appends to one volume at a time. It commits when a
// transaction's worth of bytes waits, or as soon as anybody waits for the sync; all who
// wait then share it.
type lane struct {
	s     *Store
	cur   *volume // of the lane's goroutine
	gone  chan struct{}
	mu    sync.Mutex
	work  sync.Cond // a batch may be ready, or the lane is to stop
	space sync.Cond // the queue has shrunk
	// Guarded by mu.
	queue   []*chunk
	bytes   int  // in the queue
	writing int  // bytes being written
	seals   int  // chunks with done in the queue
	drop    bool // look whether the current volume is retired
	closed  bool
}

func newLane(s *Store) *lane {
	l := &lane{s: s, gone: make(chan struct{})}
	l.work.L, l.space.L = &l.mu, &l.mu
	go l.loop()
	return l
}

// push hands over a chunk, and waits while too much is waiting already.
func (l *lane) push(c *chunk) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.bytes >= laneQueue && !l.closed {
		l.space.Wait()
	}
	if l.closed {
		return ErrClosed
	}
	l.queue = append(l.queue, c)
	l.bytes += len(c.buf)
	if c.done != nil {
		l.seals++
	}
	if l.ready() {
		l.work.Signal()
	}
	return nil
}

func (l *lane) ready() bool { return l.closed || l.drop || l.seals > 0 || l.bytes >= laneBatch }

// waiting returns the bytes that are not written yet, to choose between lanes.
func (l *lane) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes + l.writing
}

// stop writes what is queued and ends the lane.
func (l *lane) stop() {
	l.mu.Lock()
	l.closed = true
	l.work.Broadcast()
	l.space.Broadcast()
	l.mu.Unlock()
	<-l.gone
}

func (l *lane) loop() {
	defer close(l.gone)
	for {
		batch, ok := l.take()
		if !ok {
			if l.cur != nil {
				l.leave()
			}
			return
		}
		l.write(batch)
		if l.cur != nil && l.s.isRetired(l.cur) {
			l.leave()
		}
	}
}

// nudge makes an idle lane give up a volume that was retired.
func (l *lane) nudge() {
	l.mu.Lock()
	l.drop = true
	l.work.Signal()
	l.mu.Unlock()
}

// Distrust says that a run's bytes were damaged in a way that its reader alone could see.
// Nothing more is appended to its volume, whose pages may be damaged as well.
func (s *Store) Distrust(id RunID) {
	n, err := s.VolumeOf(id)
	if err != nil || n == 0 {
		return
	}
	s.mu.Lock()
	v := s.volumes[n]
	s.mu.Unlock()
	if v != nil {
		s.retire(v)
	}
}

// retire keeps further runs out of a volume whose pages have turned out to be damaged:
// what bbolt adds there may be led astray, and lost as well.
func (s *Store) retire(v *volume) {
	s.mu.Lock()
	was := v.distrusted
	v.retired, v.distrusted = true, true
	s.mu.Unlock()
	if was {
		return
	}
	s.o.Logger.Warn("volume is damaged; nothing more is appended to it", "volume", v.path)
	for _, l := range s.lanes {
		l.nudge()
	}
}

func (s *Store) isRetired(v *volume) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return v.retired
}

// take waits for the next batch, which is empty after a nudge. It returns false when the
// lane was stopped and everything is written.
func (l *lane) take() (batch []*chunk, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = 0
	for !l.ready() {
		l.work.Wait()
	}
	n, bytes := 0, 0
	for n < len(l.queue) && bytes < laneBatch {
		bytes += len(l.queue[n].buf)
		if l.queue[n].done != nil {
			l.seals--
		}
		n++
	}
	ok = n > 0 || !l.closed
	l.drop = false
	batch = slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	l.bytes -= bytes
	l.writing = bytes
	l.space.Broadcast()
	return batch, ok
}

// write appends a batch, one transaction for each volume in it: one, unless a volume has
// just been filled and runs begun there go on there.
func (l *lane) write(batch []*chunk) {
	byVolume := make(map[*volume][]*chunk)
	var order []*volume
	for _, c := range batch {
		v, err := l.bind(c.run)
		if err != nil {
			c.run.fail(err)
		}
		if v == nil {
			continue
		}
		if byVolume[v] == nil {
			order = append(order, v)
		}
		byVolume[v] = append(byVolume[v], c)
	}
	for _, v := range order {
		if err := l.append(v, byVolume[v]); err != nil {
			for _, c := range byVolume[v] {
				c.run.fail(err)
			}
		}
		for range byVolume[v] {
			l.s.releaseQuietly(v)
		}
	}
	for _, c := range batch {
		if c.done != nil {
			c.done <- c.run.failure()
		}
		l.s.putBuffer(c.buf)
	}
}

// bind returns the volume that p's bytes go to, chosen with its first chunk, or nil if
// they are not wanted any more. The volume has a reference for the caller to release: p's
// own goes when p is discarded, which may be at any time.
func (l *lane) bind(p *pending) (*volume, error) {
	s := l.s
	for {
		s.mu.Lock()
		switch {
		case p.state != runOpen || p.err != nil:
			s.mu.Unlock()
			return nil, nil
		case p.vol == nil && l.cur != nil && !l.cur.retired && l.cur.size < s.o.VolumeCap:
			p.vol = l.cur
			p.vol.pins++
			p.vol.refs++
		}
		if v := p.vol; v != nil {
			v.refs++
			s.mu.Unlock()
			return v, nil
		}
		s.mu.Unlock()
		if err := l.next(); err != nil {
			return nil, err
		}
	}
}

// leave gives up the current volume.
func (l *lane) leave() {
	v := l.cur
	l.cur = nil
	l.s.mu.Lock()
	v.taken = false
	l.s.mu.Unlock()
	if err := l.s.release(v); err != nil {
		l.s.o.Logger.Warn("closing a volume", "volume", v.path, "err", err)
	}
}

// next makes another volume the current one: an old one with room, or a new one.
func (l *lane) next() error {
	if l.cur != nil {
		l.leave()
	}
	s := l.s
	for {
		s.mu.Lock()
		var v *volume
		for _, c := range s.volumes {
			if !c.taken && !c.retired && c.size < s.o.VolumeCap+s.growBy() && (v == nil || c.number > v.number) {
				v = c
			}
		}
		if v != nil {
			v.taken = true
			v.refs++
		}
		s.mu.Unlock()
		if v == nil {
			break
		}
		l.cur = v
		used, err := v.usable(s)
		s.mu.Lock()
		if err == nil {
			v.size = used
		}
		if err != nil || used >= s.o.VolumeCap {
			v.retired = true
		}
		ok := !v.retired
		s.mu.Unlock()
		if ok {
			return nil
		}
		l.leave()
	}
	v, err := s.createVolume()
	if err != nil {
		return err
	}
	l.cur = v
	return nil
}

// usable opens v to append to it, and returns how much of it is in use. The pages that
// an append follows are verified: bbolt would follow bad ones without end.
func (v *volume) usable(s *Store) (used int64, err error) {
	if err := v.open(s); err != nil {
		return 0, err
	}
	if !v.writes {
		return 0, errors.New("opened for reading only")
	}
	err = v.view(func(b *bolt.Tx) error {
		used = b.Size()
		return v.followable(b)
	})
	if isDamage(err) {
		v.spoil(err)
	}
	if err != nil {
		s.o.Logger.Warn("volume cannot be read as it should be; nothing is appended to it", "volume", v.path, "err", err)
	}
	return used, err
}

// followable verifies the pages that an append follows, and that of the free ones.
func (v *volume) followable(b *bolt.Tx) error {
	m, err := readMeta(v.bf.f, math.MaxInt64)
	if err != nil {
		return err
	}
	p := pages{r: v.bf.f, pageSize: m.pageSize, highWater: uint64(b.Size()) / uint64(m.pageSize)}
	if m.freelist != noFreelist {
		if _, err := p.read(m.freelist); err != nil {
			return err
		}
	}
	if err := p.spine(m.root); err != nil {
		return err
	}
	if root := uint64(b.Bucket(blobsBucket()).Root()); root != 0 {
		return p.spine(root)
	}
	return nil
}

// append writes the chunks to v in one transaction.
func (l *lane) append(v *volume, batch []*chunk) error {
	// bbolt inserts ascending keys fastest.
	slices.SortStableFunc(batch, func(a, b *chunk) int {
		return cmp.Or(cmp.Compare(a.run.id, b.run.id), cmp.Compare(a.first, b.first))
	})
	v.appending.Lock()
	defer v.appending.Unlock()
	if err := v.damage(); err != nil {
		return err
	}
	b, err := v.begin(true)
	if err == nil {
		var used int64
		err = guard(func() error {
			// They were good when the lane came here; that may be long ago.
			if err := v.followable(b); err != nil {
				return errors.Join(err, b.Rollback())
			}
			bucket := b.Bucket(blobsBucket())
			bucket.FillPercent = 1
			for _, c := range batch {
				for i, blob := range c.blobs {
					if err := bucket.Put(blobKey(nil, c.run.id, c.first+uint32(i)), blob); err != nil {
						return errors.Join(err, b.Rollback())
					}
				}
			}
			if err := failpoint.Hit("store/before-volume-commit"); err != nil {
				return errors.Join(err, b.Rollback())
			}
			if err := b.Commit(); err != nil {
				return err
			}
			if err := failpoint.Hit("store/volume-committed"); err != nil {
				return err
			}
			return v.view(func(b *bolt.Tx) error { used = b.Size(); return nil })
		})
		if err == nil {
			v.bf.forgetPages(used)
			l.s.mu.Lock()
			v.size = used
			l.s.mu.Unlock()
			l.s.room.grow()
			return nil
		}
	}
	// A panic leaves bbolt's locks as they were, and a failed growth no map: either
	// way the handle is done for, while the bytes before are whole.
	var p *panicked
	if errors.As(err, &p) || errors.Is(err, bolterrors.ErrInvalidMapping) || isDamage(err) || errors.Is(err, ErrDamaged) {
		v.spoil(err)
		l.s.mu.Lock()
		v.retired = true
		l.s.mu.Unlock()
	}
	return fmt.Errorf("store: append to volume %s: %w", v.path, err)
}
