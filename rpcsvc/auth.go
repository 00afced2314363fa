package rpcsvc

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mrd-io/mr"
)

// Auth are the keys of one side: a server's, or a client's. They come from the folder
// that InitAuth makes:
//
//	DIR/ca.key                                        signs; needed only for more clients
//	DIR/server/ ca.pem server.pem server.key token    for mrd
//	DIR/client/ ca.pem client.pem client.key token    for whoever may submit jobs: copy it there
//
// A client is let in by its certificate, which stock programs can use too, or by the
// token, which is what HTTP clients send. Both say the same: this is a friend.
type Auth struct {
	token     string      // shared secret; empty: none
	serverTLS *tls.Config // nil: no server keys
	clientTLS *tls.Config // nil: no client keys
}

// TokenAuth is an Auth of a token alone: enough on the loopback interface.
func TokenAuth(token string) *Auth { return &Auth{token: token} }

// admits reports whether a peer's token is ours, in constant time.
func (a *Auth) admits(token string) bool {
	if a == nil || a.token == "" {
		return false
	}
	want, got := sha256.Sum256([]byte(a.token)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// Token returns the shared secret, for an HTTP client's Authorization header.
func (a *Auth) Token() string { return a.token }

// ClientTLS returns a copy of a client's TLS configuration, or nil: for programs that
// dial by themselves, say with tls.Dial and rpc.NewClient.
func (a *Auth) ClientTLS() *tls.Config {
	if a.clientTLS == nil {
		return nil
	}
	return a.clientTLS.Clone()
}

// LoadServerAuth reads the server's half of a folder that InitAuth made.
func LoadServerAuth(dir string) (*Auth, error) {
	dir = half(dir, "server")
	pair, roots, token, err := loadHalf(dir, "server")
	if err != nil {
		return nil, err
	}
	return &Auth{token: token, serverTLS: &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    roots,
		ClientAuth:   tls.VerifyClientCertIfGiven,
		MinVersion:   tls.VersionTLS13,
	}}, nil
}

// LoadClientAuth reads the client's half: the folder that InitAuth made, or a copy of
// its folder client.
func LoadClientAuth(dir string) (*Auth, error) {
	dir = half(dir, "client")
	pair, roots, token, err := loadHalf(dir, "client")
	if err != nil {
		return nil, err
	}
	return &Auth{token: token, clientTLS: &tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots,
		MinVersion:   tls.VersionTLS13,
	}}, nil
}

// half returns the sub-folder of one side, if there is one.
func half(dir, side string) string {
	if st, err := os.Stat(filepath.Join(dir, side)); err == nil && st.IsDir() {
		return filepath.Join(dir, side)
	}
	return dir
}

func loadHalf(dir, side string) (pair tls.Certificate, roots *x509.CertPool, token string, err error) {
	fail := func(err error) (tls.Certificate, *x509.CertPool, string, error) {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "; mrctl auth init makes the keys"
		}
		return pair, nil, "", mr.Errorf(mr.Refused, "keys in %s: %w%s", dir, err, hint)
	}
	for _, secret := range []string{side + ".key", "token"} {
		st, err := os.Stat(filepath.Join(dir, secret))
		if err != nil {
			return fail(err)
		}
		if st.Mode().Perm()&0o077 != 0 {
			return pair, nil, "", mr.Errorf(mr.Refused, "%s can be read by others (mode %o): chmod 600 it, and make new keys if others may have done so",
				filepath.Join(dir, secret), st.Mode().Perm())
		}
	}
	pair, err = tls.LoadX509KeyPair(filepath.Join(dir, side+".pem"), filepath.Join(dir, side+".key"))
	if err != nil {
		return fail(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return fail(err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return fail(errors.New("ca.pem holds no certificate"))
	}
	text, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		return fail(err)
	}
	token = strings.TrimSpace(string(text))
	if err := checkToken(token); err != nil {
		return fail(err)
	}
	return pair, roots, token, nil
}

// maxToken is what a greeting has room for, beside what stands before it and the line's end.
const maxToken = maxGreeting - len(greetingVersion+" token=") - 1

// checkToken says why no client could send a token. A daemon that had it would let nobody in by it.
func checkToken(token string) error {
	switch {
	case token == "":
		return errors.New("the token is empty")
	case len(token) > maxToken:
		return fmt.Errorf("the token has %d bytes, and a greeting takes %d", len(token), maxToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("the token has white space or a control character in it")
	}
	return nil
}
