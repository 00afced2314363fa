package worker

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mrd-io/mr/internal/childproto"
)

// Of what a child has printed last, shownSize goes into an error message. Why it died may stand farther
// in front: behind that come stacks.
const (
	tailSize  = 64 << 10
	shownSize = 4 << 10
)

// output takes what a child prints. The child's standard output and standard error are
// one pipe, so its lines stay in their order.
type output struct {
	limit int

	mu      sync.Mutex
	task    []byte        // printed by the current task, at most limit bytes
	dropped int64         // bytes beyond
	tail    []byte        // the last bytes printed, whenever
	part    []byte        // may be the beginning of an end mark
	ended   chan struct{} // closed by the current task's end mark
	closed  chan struct{} // closed at the end of the pipe
}

// newOutput reads r to its end in the background.
func newOutput(r *os.File, limit int) *output {
	o := &output{limit: limit, ended: make(chan struct{}), closed: make(chan struct{})}
	go func() {
		defer close(o.closed)
		defer r.Close() //nolint:errcheck // only read from
		buf := make([]byte, 16<<10)
		for {
			n, err := r.Read(buf)
			o.add(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return o
}

// add takes bytes and looks for the mark that ends a task's output.
func (o *output) add(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b = append(o.part, b...)
	mark := []byte(childproto.EndOfOutput)
	for {
		i := bytes.Index(b, mark)
		if i < 0 {
			break
		}
		o.keep(b[:i])
		b = b[i+len(mark):]
		select {
		case <-o.ended:
		default:
			close(o.ended)
		}
	}
	whole := len(b)
	for n := min(len(mark)-1, len(b)); n > 0; n-- {
		if bytes.HasSuffix(b, mark[:n]) {
			whole = len(b) - n
			break
		}
	}
	o.keep(b[:whole])
	o.part = append([]byte(nil), b[whole:]...)
}

func (o *output) keep(b []byte) {
	o.tail = append(o.tail, b...)
	if n := len(o.tail) - tailSize; n > 0 {
		o.tail = append(o.tail[:0], o.tail[n:]...)
	}
	n := min(len(b), o.limit-len(o.task))
	o.task = append(o.task, b[:n]...)
	o.dropped += int64(len(b) - n)
}

// begin forgets what was printed before a task.
func (o *output) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.task, o.dropped, o.ended = nil, 0, make(chan struct{})
}

// wait waits until all that the current task has printed is here.
func (o *output) wait(limit time.Duration) {
	o.mu.Lock()
	ended := o.ended
	o.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
	case <-o.closed:
	case <-timer.C:
	}
}

// lines returns what the current task has printed.
func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.task) == 0 {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(string(o.task), "\n"), "\n")
	if o.dropped > 0 {
		lines = append(lines, fmt.Sprintf("[%d more bytes printed; only the first %d are kept]", o.dropped, o.limit))
	}
	return lines
}

// last returns the last that was printed, for an error message: from where a Go program says why it dies, if it
// does and the end does not hold that.
func (o *output) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	from := max(len(o.tail)-shownSize, 0)
	lines := append([]byte{'\n'}, o.tail...)
	if why := max(bytes.LastIndex(lines, []byte("\npanic: ")), bytes.LastIndex(lines, []byte("\nfatal error: "))); why >= 0 {
		from = min(from, why)
	}
	return string(o.tail[from:min(from+shownSize, len(o.tail))])
}
