package local

import (
	"errors"
	"net/rpc"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type (
	Order struct {
		Name  string
		Parts []string
		Note  *string
	}
	Answer struct {
		Order Order
		Calls int
	}
	// theirOrder is what a caller takes an order for.
	theirOrder struct {
		Name    string
		private int
	}
	theirAnswer struct{ Calls int }
)

// Desk answers the calls of tests.
type Desk struct {
	mu      sync.Mutex
	calls   int
	release chan struct{}
}

func (d *Desk) Take(o *Order, a *Answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	*a = Answer{*o, d.calls}
	o.Name = "the desk's own"
	return nil
}

func (d *Desk) Count(n int, sum *int) error {
	*sum = n + 1
	return nil
}

func (d *Desk) Refuse(string, *Answer) error { return errors.New("refused") }

func (d *Desk) Hold(struct{}, *struct{}) error {
	<-d.release
	return nil
}

func openDesk(t *testing.T) (*Desk, *rpc.Client, <-chan struct{}) {
	t.Helper()
	d, served := &Desk{release: make(chan struct{})}, make(chan struct{})
	srv := rpc.NewServer()
	if err := srv.RegisterName("Desk", d); err != nil {
		t.Fatal(err)
	}
	here, there := direct()
	go func() {
		defer close(served)
		srv.ServeCodec(there)
	}()
	c := rpc.NewClientWithCodec(here)
	t.Cleanup(func() { c.Close() }) //nolint:errcheck // some tests have closed it
	return d, c, served
}

func TestDirectCalls(t *testing.T) {
	_, c, _ := openDesk(t)
	note := "a note"
	o := Order{"first", []string{"a", "b"}, &note}
	call := c.Go("Desk.Take", &o, &Answer{}, make(chan *rpc.Call, 1))
	o.Name = "second" // what was sent is not what is in our hands
	if <-call.Done; call.Error != nil {
		t.Fatal(call.Error)
	}
	if a := call.Reply.(*Answer); a.Order.Name != "first" || !slices.Equal(a.Order.Parts, []string{"a", "b"}) || *a.Order.Note != note {
		t.Errorf("%+v", a)
	}
	if o.Name != "second" {
		t.Errorf("the desk has written %q into our order", o.Name)
	}
	var n int
	if err := c.Call("Desk.Count", 41, &n); err != nil || n != 42 {
		t.Errorf("%d, %v", n, err)
	}

	// Types of the two sides' own, of either or both; and a reply that nobody wants.
	var theirs theirAnswer
	if err := c.Call("Desk.Take", &theirOrder{"third", 3}, &theirs); err != nil || theirs.Calls != 2 {
		t.Errorf("%+v, %v", theirs, err)
	}
	var ours Answer
	if err := c.Call("Desk.Take", &theirOrder{"fourth", 4}, &ours); err != nil || ours.Order.Name != "fourth" {
		t.Errorf("%+v, %v", ours, err)
	}
	if err := c.Call("Desk.Take", &o, nil); err != nil {
		t.Error(err)
	}

	// Errors leave the connection as it is.
	for method, want := range map[string]string{"Desk.Refuse": "refused", "Desk.Missing": "can't find", "Desk.Count": "gob"} {
		err := c.Call(method, "text", &ours)
		if _, server := err.(rpc.ServerError); !server || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q of the server", method, err, want)
		}
	}
	if err := c.Call("Desk.Take", &o, &ours); err != nil || ours.Calls != 5 {
		t.Errorf("%+v, %v", ours, err)
	}
}

func TestDirectCallsAtOnce(t *testing.T) {
	_, c, _ := openDesk(t)
	const calls = 2000 // many times what the channels hold
	done := make(chan *rpc.Call, calls)
	for i := range calls {
		c.Go("Desk.Count", i, new(int), done)
	}
	for range calls {
		if call := <-done; call.Error != nil || *call.Reply.(*int) != call.Args.(int)+1 {
			t.Fatalf("%v: %d, %v", call.Args, *call.Reply.(*int), call.Error)
		}
	}
}

// A connection that is closed ends the calls under way, whatever the other side does; its
// answers to them are not waited for.
func TestDirectClosed(t *testing.T) {
	d, c, served := openDesk(t)
	done := make(chan *rpc.Call, 100)
	for range cap(done) {
		c.Go("Desk.Hold", struct{}{}, &struct{}{}, done)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range cap(done) {
		if call := <-done; !errors.Is(call.Error, rpc.ErrShutdown) {
			t.Fatal(call.Error)
		}
	}
	if err := c.Call("Desk.Count", 1, new(int)); !errors.Is(err, rpc.ErrShutdown) {
		t.Error(err)
	}
	close(d.release)
	select {
	case <-served:
	case <-time.After(10 * time.Second):
		t.Fatal("the server serves still")
	}
}
