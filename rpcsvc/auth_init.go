package rpcsvc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mrd-io/mr"
)

// AuthOptions configure InitAuth.
type AuthOptions struct {
	Hosts []string      // names and addresses that clients will dial; the local ones are added
	Life  time.Duration // of the certificates; 0: 2 years
}

// InitAuth makes the keys of a server and of its clients in dir, which must not hold
// any yet. See Auth for the files.
func InitAuth(dir string, o AuthOptions) error {
	setDefault(&o.Life, 2*365*24*time.Hour)
	for _, host := range o.Hosts {
		if net.ParseIP(host) == nil && (host == "" || strings.ContainsAny(host, ":/, []\t\n")) {
			return mr.Errorf(mr.Usage, "%q is neither the name nor the address of a host; give it without scheme, port or others beside it", host)
		}
	}
	// Any of them: what signs may have been put away, and a copy of one half has no other.
	for _, name := range []string{"ca.key", "server", "client", "server.key", "client.key"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return mr.Errorf(mr.Refused, "%s holds keys already (%s): choose another folder, or remove these and every copy of the folder client", dir, name)
		}
	}
	err := writeKeys(dir, o)
	if err != nil {
		for _, name := range []string{"server", "client", "ca.key"} {
			os.RemoveAll(filepath.Join(dir, name)) //nolint:errcheck // what is left keeps the next attempt from being made, and says so
		}
	}
	return err
}

// writeKeys writes a folder of keys in which nothing of the kind is.
func writeKeys(dir string, o AuthOptions) error {
	ca, err := newIssuer(o.Life)
	if err != nil {
		return mr.Errorf(mr.Failed, "making keys: %w", err)
	}
	token := []byte(rand.Text() + rand.Text() + "\n")
	for _, side := range []string{"server", "client"} {
		cert, key, err := ca.issue(side, o)
		if err != nil {
			return mr.Errorf(mr.Failed, "making keys: %w", err)
		}
		for _, f := range []struct {
			name string
			data []byte
		}{{"ca.pem", ca.pem}, {side + ".pem", cert}, {side + ".key", key}, {"token", token}} {
			if err := writeSecret(filepath.Join(dir, side, f.name), f.data); err != nil {
				return mr.Errorf(mr.Usage, "making keys: %w", err)
			}
		}
	}
	if err := writeSecret(filepath.Join(dir, "ca.key"), ca.keyPEM); err != nil {
		return mr.Errorf(mr.Usage, "making keys: %w", err)
	}
	return nil
}

// writeSecret writes a file that only its owner can read, in a folder like it.
func writeSecret(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// issuer signs certificates.
type issuer struct {
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	pem    []byte
	keyPEM []byte
}

func newIssuer(life time.Duration) (*issuer, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	t := template("mr keys", life)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &issuer{cert, key, certPEM(der), keyPEM}, nil
}

// issue makes a key and its certificate: good for the one side, and not for the other.
func (ca *issuer) issue(side string, o AuthOptions) (cert, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	t := template("mr "+side, o.Life)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if side == "server" {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, host := range slices.Compact(slices.Sorted(slices.Values(append([]string{"localhost", "127.0.0.1", "::1"}, o.Hosts...)))) {
			if ip := net.ParseIP(host); ip != nil {
				t.IPAddresses = append(t.IPAddresses, ip)
			} else {
				t.DNSNames = append(t.DNSNames, host)
			}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, nil, err
	}
	return certPEM(der), keyPEM, nil
}

func template(name string, life time.Duration) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial) // never fails; see crypto/rand
	serial[0] &= 0x7f
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // the other host's clock may be behind
		NotAfter:     now.Add(life),
	}
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
