package clock

import (
	"errors"
	"math"
	"time"
)

// Local is one reading of this machine's clocks.
type Local struct {
	Mono time.Duration // the monotonic clock, from any origin; it stands still in a suspend
	Wall time.Duration // the wall clock, since 1970
	Boot time.Duration // a monotonic clock that counts suspends; 0: not known
	Pair time.Duration // how far apart the readings of Mono and Wall may be
}

// Sample is one exchange as measured, T1 and T4 on the clock of Local.Mono.
type Sample struct {
	Sent     time.Duration // T1
	Received time.Duration // T4
	Nonce    uint64        // as asked
	Conn     uint64        // as in Exchange
	Reply    Reply
}

// RTT is the round trip as the client saw it.
func (s Sample) RTT() time.Duration { return s.Received - s.Sent }

// Why a sample is not used. Warmup is no fault: the first exchange of a connection
// is slow, and its epoch counts.
var (
	ErrWarmup   = errors.New("first exchange of a connection")
	ErrNonce    = errors.New("the reply answers another request")
	ErrReply    = errors.New("the reply has no epoch or an impossible time")
	ErrOrder    = errors.New("the reply left before its request came")
	ErrTooLong  = errors.New("the master says it took longer than the round trip")
	ErrSlow     = errors.New("the round trip took too long")
	ErrSpan     = errors.New("the exchange was under way when the clock was disrupted")
	ErrConflict = errors.New("the sample contradicts the ones before")
)

// refusals in the order of a Report's.
var refusals = [...]error{ErrNonce, ErrReply, ErrOrder, ErrTooLong, ErrSlow, ErrSpan, ErrConflict}

// check refuses what no honest master can have sent.
func (s Sample) check(rho float64) error {
	r := s.Reply
	switch {
	case r.Nonce != s.Nonce:
		return ErrNonce
	case r.Epoch == 0, r.T2 <= 0, r.T3 <= 0, r.T2 > math.MaxInt64/2, r.T3 > math.MaxInt64/2:
		return ErrReply
	case r.T3 < r.T2:
		return ErrOrder
	case s.Received < s.Sent:
		return ErrSpan
	case r.T3-r.T2 > int64(s.RTT()+2*tick)+age(s.RTT(), rho):
		return ErrTooLong
	}
	return nil
}

// span is what s alone says: at T4 the master's clock was at least T3, and at T1 at
// most T2.
func (s Sample) span() span {
	return span{
		lo: edge{s.Reply.T3 - int64(s.Received) - int64(tick), s.Received},
		hi: edge{s.Reply.T2 - int64(s.Sent) + int64(tick), s.Sent},
	}
}
