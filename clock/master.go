package clock

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

const (
	// masterStep is the disagreement of wall and monotonic clock that counts as a step.
	masterStep = time.Millisecond
	// epochMask keeps epochs exact in JSON readers that know only floats.
	epochMask = 1<<53 - 1
)

// Master is the clock that others ask. It runs on the monotonic clock from a wall
// reading taken at its start; when the machine's wall clock is stepped (or the machine
// slept), it takes a new one and changes its epoch, so that no client joins samples
// from before and after.
type Master struct {
	read func() (wall, mono time.Duration)

	mu    sync.Mutex
	epoch uint64
	base  time.Duration // wall − mono in this epoch
}

// NewMaster starts a Master with a random epoch.
func NewMaster() *Master {
	start := time.Now()
	return newMaster(func() (time.Duration, time.Duration) {
		now := time.Now()
		return time.Duration(now.UnixNano()), now.Sub(start) + 1
	}, randomEpoch())
}

// NewMasterOf is NewMaster for a clock that is not this machine's: read returns its wall
// and monotonic readings, taken at one moment, the latter above zero.
func NewMasterOf(read func() (wall, mono time.Duration)) *Master {
	return newMaster(read, randomEpoch())
}

func newMaster(read func() (wall, mono time.Duration), epoch uint64) *Master {
	wall, mono := read()
	return &Master{read: read, epoch: epoch, base: wall - mono}
}

func randomEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	return binary.LittleEndian.Uint64(b[:])&epochMask | 1
}

func (m *Master) stamp() stamp {
	_, mono := m.read()
	return stamp(mono)
}

// answer fills in a reply. All of its stamps are in one epoch.
func (m *Master) answer(req *Request, rep *Reply) {
	wall, mono := m.read()
	base, epoch := m.era(wall, mono)
	arrived := req.arrived
	if arrived == 0 || time.Duration(arrived) > mono {
		arrived = stamp(mono)
	}
	*rep = Reply{
		Nonce: req.Nonce,
		Epoch: epoch,
		T2:    int64(base + time.Duration(arrived)),
		T3:    int64(base + mono),
		depart: func() int64 {
			_, mono := m.read()
			return int64(base + mono)
		},
	}
}

// era returns the base of the present epoch, after beginning a new one if the wall
// clock was stepped.
func (m *Master) era(wall, mono time.Duration) (base time.Duration, epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	off := wall - mono - m.base
	// A thread stopped between the two readings looks like a step: believe the
	// smallest of a few.
	for try := 0; try < 3 && off.Abs() > masterStep; try++ {
		wall, mono = m.read()
		if again := wall - mono - m.base; again.Abs() < off.Abs() {
			off = again
		}
	}
	if off.Abs() > masterStep {
		m.base += off
		m.epoch = (m.epoch+2)&epochMask | 1
	}
	return m.base, m.epoch
}

// Service is the net/rpc service Time.
type Service struct{ m *Master }

// NewService offers m.
func NewService(m *Master) *Service { return &Service{m} }

// Now answers one exchange.
func (s *Service) Now(req *Request, rep *Reply) error {
	s.m.answer(req, rep)
	return nil
}
