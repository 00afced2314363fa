package rpcsvc

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
)

// Auth are the keys of one side: a server's, or a client's. Load it with LoadAuth.
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
