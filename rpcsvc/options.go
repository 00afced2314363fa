package rpcsvc

import (
	"log/slog"
	"time"

	"github.com/mrd-io/mr/clock"
)

// ServerOptions configure a Server; the zero value is a good one for a unix socket.
type ServerOptions struct {
	Logger   *slog.Logger  // nil: nothing is logged
	Version  string        // of the daemon, for Hello
	StoreDir string        // for Hello
	Auth     *Auth         // keys; needed for TCP
	Clock    *clock.Master // the time that is offered; nil: this machine's
	Crew     Crew          // takes the workers that join; nil: none may

	MaxConns     int           // connections at once, workers' and their streams apart; 0: 1024
	MaxGreeting  int           // of these, not yet authenticated; 0: 128
	MaxInFlight  int           // requests being served, long polls and Time apart; 0: 256
	MaxPerConn   int           // requests of one connection; of long polls four times as many; 0: 256
	MaxPolls     int           // long polls at once; 0: 4096
	MaxRequest   int64         // bytes a request; 0: 8 MiB
	GreetingTime time.Duration // from accept to authenticated, TLS included; 0: 5 s
	RequestTime  time.Duration // from a request's first byte to its last; 0: 10 s
	IdleTime     time.Duration // without a request; 0: 10 min
	WriteTime    time.Duration // for the peer to take a reply, or each MiB of it; 0: 30 s
	DrainTime    time.Duration // for requests in flight when Serve's ctx ends; 0: 5 s
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.NewMaster()
	}
	setDefault(&o.MaxConns, 1024)
	setDefault(&o.MaxGreeting, 128)
	setDefault(&o.MaxInFlight, 256)
	setDefault(&o.MaxPerConn, 256)
	setDefault(&o.MaxPolls, 4096)
	setDefault(&o.MaxRequest, 8<<20)
	setDefault(&o.GreetingTime, 5*time.Second)
	setDefault(&o.RequestTime, 10*time.Second)
	setDefault(&o.IdleTime, 10*time.Minute)
	setDefault(&o.WriteTime, 30*time.Second)
	setDefault(&o.DrainTime, 5*time.Second)
	return o
}

func setDefault[T int | int64 | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}
