//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// plan is what MR_FAILPOINTS asks for.
type plan struct {
	terms map[string][]term
	log   string // "": none
	trace bool

	mu   sync.Mutex
	hits map[string]int // guarded by mu
}

type term struct {
	text  string // the action as it was written
	at    int    // the hit to act at; 0: each
	while string // a file that must exist; "": always
	kill  bool
	err   error
	sleep time.Duration
}

func errnos() map[string]error {
	return map[string]error{
		"ENOSPC": syscall.ENOSPC, "EDQUOT": syscall.EDQUOT, "EIO": syscall.EIO,
		"EACCES": syscall.EACCES, "EROFS": syscall.EROFS,
	}
}

func parse(spec, log string) (*plan, error) {
	p := &plan{terms: map[string][]term{}, hits: map[string]int{}, log: log}
	if spec == "trace" {
		p.trace = true
		return p, nil
	}
	for text := range strings.SplitSeq(spec, ";") {
		if text == "" {
			continue
		}
		name, rest, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not NAME=ACTION", text)
		}
		t, err := parseTerm(rest)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		p.terms[name] = append(p.terms[name], t)
	}
	return p, nil
}

func parseTerm(s string) (t term, err error) {
	s, t.while, _ = strings.Cut(s, "?")
	s, at, counted := strings.Cut(s, "@")
	if counted {
		if t.at, err = strconv.Atoi(at); err != nil || t.at < 1 {
			return t, fmt.Errorf("hits are counted from 1, and this is %q", at)
		}
	}
	t.text = s
	switch action, arg, _ := strings.Cut(s, ":"); action {
	case "kill":
		t.kill = true
	case "error":
		if t.err = errnos()[arg]; t.err == nil {
			return t, fmt.Errorf("error %q is not one of ENOSPC, EDQUOT, EIO, EACCES, EROFS", arg)
		}
	case "sleep":
		if t.sleep, err = time.ParseDuration(arg); err != nil {
			return t, err
		}
	default:
		return t, fmt.Errorf("action %q is none of kill, error:, sleep:", action)
	}
	return t, nil
}

func (p *plan) hit(name string) error {
	if p.trace {
		p.note(name, "hit")
		return nil
	}
	terms := p.terms[name]
	if len(terms) == 0 {
		return nil
	}
	p.mu.Lock()
	p.hits[name]++
	n := p.hits[name]
	p.mu.Unlock()
	for _, t := range terms {
		if t.at != 0 && t.at != n || t.while != "" && !exists(t.while) {
			continue
		}
		p.note(name, t.text)
		if t.kill {
			die()
		}
		time.Sleep(t.sleep)
		if t.err != nil {
			return fmt.Errorf("failpoint %s: %w", name, t.err)
		}
		return nil
	}
	return nil
}

// die is a crash of this process alone.
func die() {
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL) // it can't fail, and nothing could be done
	select {}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// note appends to the log, one write a line: lines of several processes don't mix.
func (p *plan) note(name, what string) {
	if p.log == "" {
		return
	}
	f, err := os.OpenFile(p.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(name + " " + what + "\n")
		f.Close() //nolint:errcheck // the write is what counts
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "MR_FAILPOINTS_LOG: %v\n", err)
		os.Exit(2)
	}
}
