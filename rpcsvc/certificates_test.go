package rpcsvc

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// Who dials with the wrong keys, or at the wrong time, or by the wrong name, is told which of these it is, and
// what mends it; and does not try again.
func TestWrongCertificates(t *testing.T) {
	keys := func(life time.Duration) (server, client *Auth) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "keys")
		err := InitAuth(dir, AuthOptions{Life: life})
		if err == nil {
			server, err = LoadServerAuth(dir)
		}
		if err == nil {
			client, err = LoadClientAuth(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		return server, client
	}
	server, client := keys(0)
	_, stranger := keys(0)
	expired, late := keys(time.Nanosecond)
	late.clientTLS.RootCAs = client.clientTLS.RootCAs // it takes the daemon, and not the other way round
	misnamed := &Auth{token: client.token, clientTLS: client.ClientTLS()}
	misnamed.clientTLS.ServerName = "elsewhere"
	for _, c := range []struct {
		name         string
		server, dial *Auth
		says         string
	}{
		{"by another name", server, misnamed, "mrctl auth init --host"},
		{"with other keys", server, stranger, "copy the folder client"},
		{"too late", expired, client, "make new keys with mrctl auth init"},
		{"with expired keys", server, late, "mrctl auth init makes new ones"},
	} {
		if c.name == "too late" {
			c.dial = &Auth{token: client.token, clientTLS: client.ClientTLS()}
			c.dial.clientTLS.RootCAs = expired.serverTLS.ClientCAs
		}
		_, where := startTCP(t, newFakeJobs(), ServerOptions{Auth: c.server})
		began := time.Now()
		_, err := Dial(t.Context(), "tcp:"+where, ClientOptions{Auth: c.dial})
		if !errors.Is(err, mr.ErrRefused) || !strings.Contains(err.Error(), c.says) || time.Since(began) > 4*time.Second {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Keys for a host that nobody can dial are not made.
func TestKeysAreForHosts(t *testing.T) {
	for host, good := range map[string]bool{
		"master": true, "m-1.example.org": true, "*.example.org": true, "10.0.0.1": true, "fe80::1": true,
		"": false, "master:7070": false, "tcp:master": false, "10.0.0.1:7070": false, "[::1]": false, "a,b": false, "http://a": false,
	} {
		if err := InitAuth(filepath.Join(t.TempDir(), "keys"), AuthOptions{Hosts: []string{host}}); good != (err == nil) || !good && !errors.Is(err, mr.ErrUsage) {
			t.Errorf("%q: %v", host, err)
		}
	}
}
