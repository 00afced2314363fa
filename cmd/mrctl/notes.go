package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// notes is stderr, or while a progress bar is on the screen the place above the bar.
type notes struct {
	mu  sync.Mutex
	w   io.Writer // guarded by mu
	bar io.Writer // guarded by mu; nil: none is on the screen
}

// lineStart goes to the beginning of the line and clears it. The bar's library moves the cursor
// up, but not to the left, and what is typed meanwhile, the ^C of an interrupt above all, has
// moved it to the right.
const lineStart = "\r\x1b[K"

// Write implements io.Writer; p is whole lines.
func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bar != nil {
		if _, err := n.bar.Write(append([]byte(lineStart), p...)); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return n.w.Write(p)
}

// above sends what is written to a bar's own writer, or with nil back to stderr.
func (n *notes) above(bar io.Writer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bar = bar
}

// warnings is a slog.Handler that tells a person what the engine in this process warns of: a line of
// mrctl's own a record.
type warnings struct {
	w     io.Writer
	attrs string
}

// Enabled implements slog.Handler.
func (warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements slog.Handler.
func (h warnings) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString("mrctl: warning: " + r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(attrWords(a))
		return true
	})
	_, err := io.WriteString(h.w, shownText(b.String())+"\n")
	return err
}

// WithAttrs implements slog.Handler.
func (h warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.attrs += attrWords(a)
	}
	return h
}

// WithGroup implements slog.Handler. Names of groups tell a person nothing.
func (h warnings) WithGroup(string) slog.Handler { return h }

func attrWords(a slog.Attr) string {
	if a.Equal(slog.Attr{}) {
		return ""
	}
	return ", " + a.Key + " " + a.Value.String()
}
