//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/mrd-io/mr/clock"
	"github.com/mrd-io/mr/rpcsvc"
)

// upstream is how long the relay holds a request up; replies pass at once.
const upstream = 20 * time.Millisecond

// readMany reads two kept clocks, one with a relay between, and checks every reading against
// the truth. The one behind the relay is read a tenth as often.
func readMany(ctx context.Context, socket string, reads int) error {
	relayed, err := relay(ctx, socket)
	if err != nil {
		return err
	}
	for _, k := range []struct {
		name, addr string
		reads      int
	}{
		{"Clock kept by Run, unix socket, each read checked", "unix:" + socket, reads},
		{"the same through a relay, 20 ms out and 0 back", "unix:" + relayed, reads / 10},
	} {
		x, err := rpcsvc.DialTime(ctx, k.addr, rpcsvc.ClientOptions{})
		if err != nil {
			return err
		}
		c := clock.New(x, clock.Options{})
		if err := c.Sync(ctx, 16); err != nil {
			return err
		}
		running, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- c.Run(running) }()
		err = checkReads(c, k.name, k.reads)
		stop()
		<-done
		if err != nil {
			return err
		}
	}
	return nil
}

// checkReads prints a row. The truth lies between what the served clock showed before a
// reading and after it; where these are far apart the error cannot be told, only whether
// the bound holds.
func checkReads(c *clock.Clock, name string, reads int) error {
	var wrong, bounds []time.Duration
	missed := 0
	for range reads {
		before := rawMono()
		lo, hi, err := c.Interval()
		after := rawMono()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		first, _ := served(before)
		last, _ := served(after)
		if hi.UnixNano() < int64(first) || lo.UnixNano() > int64(last) {
			missed++
		}
		if after-before < 5*time.Microsecond {
			middle := lo.Add(hi.Sub(lo) / 2).UnixNano()
			wrong = append(wrong, time.Duration(middle-int64(first+last)/2).Abs())
			bounds = append(bounds, hi.Sub(lo)/2)
		}
		time.Sleep(50 * time.Microsecond)
	}
	if len(wrong) == 0 {
		return fmt.Errorf("%s: no reading was quick enough to be judged", name)
	}
	slices.Sort(wrong)
	slices.Sort(bounds)
	at := func(d []time.Duration, q int) time.Duration { return d[len(d)*q/100].Round(100 * time.Nanosecond) }
	fmt.Printf("| %s | %v | %v | %v | %v | %d of %d |\n", name,
		at(wrong, 50), at(wrong, 99), at(bounds, 50), at(bounds, 99), missed, reads)
	return nil
}

// relay passes connections on to the socket, requests late.
func relay(ctx context.Context, socket string) (path string, err error) {
	path = socket + "-relay"
	l, err := net.Listen("unix", path)
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				io.Copy(client, server) // until one of them ends
				client.Close()
			}()
			go func() {
				defer server.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := client.Read(buf)
					time.Sleep(upstream)
					if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
						return
					}
				}
			}()
		}
	}()
	return path, nil
}
