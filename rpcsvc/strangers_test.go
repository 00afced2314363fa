package rpcsvc

import (
	"net"
	"testing"
	"time"
)

// Whoever connects to the TCP port and says nothing may keep others from there for a while,
// but not the daemon's own user from its socket.
func TestStrangersKeepNobodyFromTheSocket(t *testing.T) {
	const places = 3
	o := ServerOptions{Auth: TokenAuth("secret"), MaxGreeting: places, GreetingTime: time.Minute}
	s, where := startTCP(t, newFakeJobs(), o)
	unix := "unix:" + t.TempDir() + "/s"
	l, err := Listen(unix)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), l) }()
	t.Cleanup(func() {
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	for range places {
		nc, err := net.Dial("tcp", where)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); len(s.greeting) < places; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d strangers were taken in", len(s.greeting), places)
		}
	}
	if _, err := connect(t, unix, ClientOptions{RetryFor: -1}).List(t.Context(), true); err != nil {
		t.Errorf("the daemon's user: %v", err)
	}
	late, err := net.Dial("tcp", where)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	closedWithin(t, late, 0, 5*time.Second) // the places are bounded
}
