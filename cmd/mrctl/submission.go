package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	mr "github.com/mrd-io/mr"
)

// retryFor is how long an unreachable daemon is tried again: long enough for it to be restarted.
const retryFor = 30 * time.Second

// newSubmitID makes an id that nobody else makes: 48 bits of time, so that ids sort as they were made,
// and 80 random bits, in 26 characters.
func newSubmitID(now time.Time) mr.SubmitID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails: the runtime ends the process rather
	text := base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
	return mr.SubmitID("sub_" + strings.ToLower(text))
}

// submit makes the job durable. A failure that leaves open whether it was is followed by another try
// under the same id, so that there is one job at the end, whatever was lost in between.
func (a *app) submit(ctx context.Context, s *session, id mr.SubmitID, spec mr.Spec) (mr.JobID, error) {
	var job mr.JobID
	err := retry(ctx, s, func(text string) { a.say("%s", text) }, func() (err error) {
		job, err = s.Submit(ctx, id, spec)
		return err
	})
	if err != nil && s.daemon != "" && (errors.Is(err, mr.ErrUnreachable) || ctx.Err() != nil) {
		return "", mr.Errorf(mr.KindOf(err), "%w; the daemon may have taken the job: the same line with --submit-id %s asks again without running it twice", err, id)
	}
	return job, err
}

// retry calls f until it does not answer Unreachable, with growing, jittered pauses, for a while. A
// node in this process is asked once: what it cannot reach now it will not reach later. tell is called
// once, when it takes long.
func retry(ctx context.Context, s *session, tell func(string), f func() error) error {
	pause := 50 * time.Millisecond
	var away time.Time // since then; that a call took long before is no part of it
	for told := false; ; {
		err := f()
		if away.IsZero() {
			away = time.Now()
		}
		if err == nil || s.daemon == "" || !errors.Is(err, mr.ErrUnreachable) || time.Since(away) > retryFor {
			return err
		}
		if !told && time.Since(away) > time.Second {
			tell(fmt.Sprintf("the daemon does not answer (%v); trying again for %v", err, retryFor))
			told = true
		}
		// Full jitter, so that clients that lost one daemon together do not come back together.
		if !sleep(ctx, time.Duration(mathrand.Int64N(int64(pause)))+time.Millisecond) {
			return mr.Errorf(mr.Interrupted, "interrupted: %w", err)
		}
		pause = min(2*pause, 2*time.Second)
	}
}
