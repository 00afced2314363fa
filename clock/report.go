package clock

import (
	"slices"
	"time"
)

// Report is what a clock knows of itself and its samples, for people. JSON shows
// durations in nanoseconds.
type Report struct {
	State     State         `json:"state"`
	Master    time.Time     `json:"master"`  // as Now says; zero if not known
	Offset    time.Duration `json:"offset"`  // the master's clock minus this machine's wall clock
	Bound     time.Duration `json:"bound"`   // the offset is right to within this
	RTTMin    time.Duration `json:"rtt_min"` // of the last samples, up to 64
	RTTMedian time.Duration `json:"rtt_median"`
	Drift     float64       `json:"drift"`       // ppm that the master's clock gains on this machine's
	DriftErr  float64       `json:"drift_bound"` // ppm; 0: too early to say
	Age       time.Duration `json:"age"`         // since the last sample used
	Epoch     uint64        `json:"epoch"`       // of the master
	Used      int           `json:"used"`        // samples
	Warmup    int           `json:"warmup"`      // first exchanges of connections, not used
	Refused   int           `json:"refused"`
	Refusals  []Refusal     `json:"refusals,omitempty"`
	Alarms    int           `json:"alarms"` // disruptions noticed
	LastAlarm string        `json:"last_alarm,omitempty"`
	Steps     int           `json:"steps"` // of this machine's wall clock, harmless
}

// Refusal counts the samples refused for one reason.
type Refusal struct {
	Reason string `json:"reason"`
	N      int    `json:"n"`
}

// history keeps the samples of the present era and counts for ever.
type history struct {
	ring   [64]Sample
	n      int    // samples added in this era; the last are in ring
	anchor Sample // the quickest of the era's first samples

	used, warmup, steps, alarms int
	refused                     [len(refusals)]int
	lastAlarm                   string
}

// early is how many samples of an era the anchor is chosen from.
const early = 8

func (h *history) forget() { h.n = 0 }

func (h *history) alarm(why string) {
	h.alarms++
	h.lastAlarm = why
}

func (h *history) add(s Sample) {
	if h.n == 0 || h.n < early && s.RTT() < h.anchor.RTT() {
		h.anchor = s
	}
	h.ring[h.n%len(h.ring)] = s
	h.n++
}

func (h *history) count(err error) {
	switch err {
	case nil:
		h.used++
	case ErrWarmup:
		h.warmup++
	default:
		h.refused[slices.Index(refusals[:], err)]++
	}
}

// recent returns the last samples, in no order.
func (h *history) recent() []Sample { return h.ring[:min(h.n, len(h.ring))] }

// drift bounds the mean rate of the offset between the anchor and the quickest of the
// recent samples, in ppm. No assumption about drift enters: only the two intervals do.
func (h *history) drift() (ppm, bound float64) {
	recent := h.recent()
	if len(recent) == 0 {
		return 0, 0
	}
	best := recent[0]
	for _, s := range recent {
		if s.RTT() < best.RTT() || s.RTT() == best.RTT() && s.Sent > best.Sent {
			best = s
		}
	}
	a, b := h.anchor.span(), best.span()
	// The edges are true at moments of their own; of the distances, the one that makes
	// the rate's interval wider is taken.
	short, long := best.Sent-h.anchor.Received, best.Received-h.anchor.Sent
	if short <= 0 {
		return 0, 0
	}
	rate := func(change int64, over, orElse time.Duration) float64 {
		if change > 0 {
			over = orElse
		}
		return float64(change) / float64(over) * 1e6
	}
	least := rate(b.lo.offset-a.hi.offset, short, long)
	most := rate(b.hi.offset-a.lo.offset, long, short)
	return (least + most) / 2, (most - least) / 2
}

// Report describes c at the moment now.
func (c *Core) Report(now Local) Report {
	h := &c.past
	r := Report{
		Epoch: c.epoch, Used: h.used, Warmup: h.warmup,
		Alarms: h.alarms, LastAlarm: h.lastAlarm, Steps: h.steps,
	}
	if t, bound, err := c.Now(now); err == nil {
		r.Master, r.Bound = t, bound+now.Pair // of the wall reading's moment
		r.Offset = time.Duration(t.UnixNano()) - now.Wall
	}
	r.State = c.state()
	for i, n := range h.refused {
		if n > 0 {
			r.Refused += n
			r.Refusals = append(r.Refusals, Refusal{refusals[i].Error(), n})
		}
	}
	if h.n > 0 {
		r.Age = max(now.Mono-c.good, 0)
		rtts := make([]time.Duration, 0, len(h.ring))
		for _, s := range h.recent() {
			rtts = append(rtts, s.RTT())
		}
		slices.Sort(rtts)
		r.RTTMin, r.RTTMedian = rtts[0], rtts[len(rtts)/2]
		r.Drift, r.DriftErr = h.drift()
	}
	return r
}
