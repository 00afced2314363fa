package clock

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"
)

// impossible is a master whose time cannot be.
type impossible struct{ asked int }

func (x *impossible) Exchange(_ context.Context, nonce uint64) (Exchange, error) {
	x.asked++
	now := time.Now()
	return Exchange{Sent: now, Received: now, Conn: 1, Reply: Reply{Nonce: nonce, Epoch: 1, T2: math.MaxInt64, T3: math.MaxInt64}}, nil
}

// Who waits for a time that is never to be had is told, and soon.
func TestSyncGivesUpOnRefusals(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	x := &impossible{}
	if err := New(x, Options{}).Sync(ctx, 16); !errors.Is(err, ErrUnsynced) || !errors.Is(err, ErrReply) || ctx.Err() != nil || x.asked > 16 {
		t.Errorf("after %d exchanges: %v", x.asked, err)
	}
}
