package rpcsvc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// A token that no client can send is refused where it is read, with the folder that has it. The
// longest one that is taken can be sent.
func TestTokensThatCantBeSent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := InitAuth(dir, AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	write := func(token string) {
		t.Helper()
		for _, side := range []string{"server", "client"} {
			if err := os.WriteFile(filepath.Join(dir, side, "token"), []byte(token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct{ token, words string }{
		{"", "is empty"},
		{"a b", "white space"},
		{"a\rb", "white space"},
		{"a\x00b", "control character"},
		{strings.Repeat("x", maxToken+1), "501 bytes, and a greeting takes 500"},
	} {
		write(tc.token)
		for side, load := range map[string]func(string) (*Auth, error){"server": LoadServerAuth, "client": LoadClientAuth} {
			_, err := load(dir)
			if !errors.Is(err, mr.ErrRefused) || !strings.Contains(err.Error(), filepath.Join(dir, side)) || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("%.10q, %s: %v", tc.token, side, err)
			}
		}
	}

	for _, token := range []string{strings.Repeat("x", maxToken), "\xff!é\""} {
		write(token)
		server, err := LoadServerAuth(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, where := startTCP(t, newFakeJobs(), ServerOptions{Auth: server})
		client, err := LoadClientAuth(dir)
		if err != nil {
			t.Fatal(err)
		}
		for name, auth := range map[string]*Auth{"with a certificate": client, "over TLS": {token: client.token, clientTLS: client.ClientTLS()}} {
			if name == "over TLS" {
				auth.clientTLS.Certificates = nil
			}
			if _, err := connect(t, "tcp:"+where, ClientOptions{Auth: auth, RetryFor: -1}).List(t.Context(), true); err != nil {
				t.Errorf("%.10q %s: %v", token, name, err)
			}
		}
	}
}
