package rpcsvc

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// makeKeys makes keys of a server and its client.
func makeKeys(t testing.TB) (server, client *Auth) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := InitAuth(dir, AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	server, err := LoadServerAuth(dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err = LoadClientAuth(dir)
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

// Who has keys that the daemon does not take is refused, and need not try again.
func TestKeysOfAnother(t *testing.T) {
	server, client := makeKeys(t)
	_, other := makeKeys(t)
	mixed := *client
	mixed.clientTLS = client.clientTLS.Clone()
	mixed.clientTLS.Certificates = other.clientTLS.Certificates
	_, where := startTCP(t, newFakeJobs(), ServerOptions{Auth: server})
	for name, auth := range map[string]*Auth{"a certificate of another authority": &mixed, "keys of another daemon": other} {
		began := time.Now()
		_, err := Dial(t.Context(), "tcp:"+where, ClientOptions{Auth: auth})
		if !errors.Is(err, mr.ErrRefused) || time.Since(began) > 3*time.Second {
			t.Errorf("%s: %v, after %v", name, err, time.Since(began))
		}
		if _, err := Join(t.Context(), "tcp:"+where, auth, JoinRequest{Name: "w"}); !errors.Is(err, mr.ErrRefused) {
			t.Errorf("%s, of a worker: %v", name, err)
		}
	}
}

// startTCP serves jobs on a free port of the loopback interface.
func startTCP(t testing.TB, jobs mr.Jobs, o ServerOptions) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	where := l.Addr().String()
	l.Close()
	return startAt(t, jobs, o, "tcp:"+where), where
}

// submitStock submits as a stock net/rpc program does, and checks the answers.
func submitStock(t *testing.T, c *rpc.Client) {
	t.Helper()
	defer c.Close()
	var rep SubmitReply
	req := SubmitRequest{SubmitID: "stock", Spec: Spec{Job: "wordcount", Inputs: []string{"/in"}, Output: "/out"}}
	if err := c.Call("Jobs.Submit", req, &rep); err != nil || !strings.HasPrefix(rep.Job, "job_") {
		t.Fatalf("submit: %+v, %v", rep, err)
	}
	var st StatusReply
	if err := c.Call("Jobs.Status", JobRequest{Job: rep.Job}, &st); err != nil || st.Status.Spec.Output != "/out" {
		t.Errorf("status: %+v, %v", st, err)
	}
	err := c.Call("Jobs.Status", JobRequest{Job: "job_none"}, &st)
	if err == nil || !strings.HasPrefix(err.Error(), "notfound: ") {
		t.Errorf("unknown job: %v", err)
	}
	if err := c.Call("Jobs.Nothing", JobRequest{}, &st); err == nil {
		t.Error("an unknown method was answered")
	}
	if err := c.Call("Jobs.CacheStats", CacheStatsRequest{}, &CacheStatsReply{}); err != nil {
		t.Errorf("after an unknown method: %v", err)
	}
}

func TestStockClientsOnUnix(t *testing.T) {
	_, addr := start(t, newFakeJobs(), ServerOptions{})
	path := strings.TrimPrefix(addr, "unix:")
	t.Run("gob", func(t *testing.T) {
		c, err := rpc.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		submitStock(t, c)
	})
	t.Run("jsonrpc", func(t *testing.T) {
		c, err := jsonrpc.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		submitStock(t, c)
	})
	t.Run("http", func(t *testing.T) {
		hc := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
		defer hc.CloseIdleConnections()
		submitHTTP(t, hc, "http://mr/rpc", "")
	})
}

// post makes a request over HTTP.
func post(t *testing.T, hc *http.Client, url, token, body string) (status int, reply struct {
	ID     json.RawMessage
	Result map[string]any
	Error  struct{ Kind, Message string }
}) {
	t.Helper()
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, reply
}

func submitHTTP(t *testing.T, hc *http.Client, url, token string) {
	t.Helper()
	status, rep := post(t, hc, url, token, `{"method":"Jobs.Submit","id":7,"params":{"submit_id":"h","spec":{"job":"wordcount","inputs":["/in"],"output":"/o"}}}`)
	if job, _ := rep.Result["job"].(string); status != 200 || !strings.HasPrefix(job, "job_") || string(rep.ID) != "7" {
		t.Errorf("submit: %d, %+v", status, rep)
	}
	for _, tc := range []struct {
		body, kind string
		status     int
	}{
		{`{"method":"Jobs.Status","params":[{"job":"job_none"}]}`, "notfound", 404},
		{`{"method":"Jobs.Submit","params":{"submit_id":"h","spec":{"job":"other"}}}`, "refused", 409},
		{`{"method":"Jobs.Submit","params":{"spec":{"jobb":"other"}}}`, "usage", 400},
		{`{"method":"Jobs.Nothing"}`, "usage", 400},
		{`{"method":`, "usage", 400},
		{`{"method":"Jobs.List"} {}`, "usage", 400},
	} {
		if status, rep := post(t, hc, url, token, tc.body); status != tc.status || rep.Error.Kind != tc.kind || rep.Error.Message == "" {
			t.Errorf("%s: %d, %+v", tc.body, status, rep)
		}
	}
	if status, rep := post(t, hc, url, token, `{"method":"Time.Now","params":{"nonce":5}}`); status != 200 || rep.Result["nonce"] != 5.0 {
		t.Errorf("time: %d, %+v", status, rep)
	}
}

func TestHTTPRefusesWhatAPageCanSend(t *testing.T) {
	_, addr := start(t, newFakeJobs(), ServerOptions{})
	nc, err := net.Dial("unix", strings.TrimPrefix(addr, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, tc := range []struct {
		request string
		want    int
	}{
		{"GET /rpc HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		{"GET /debug/rpc HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		{"CONNECT /_goRPC_ HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		{"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415},
	} {
		io.WriteString(nc, tc.request)
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			t.Fatalf("%q: %v", tc.request, err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != tc.want {
			t.Errorf("%q: %d; want %d", tc.request, resp.StatusCode, tc.want)
		}
	}
}

func TestTCPWithKeys(t *testing.T) {
	server, client := makeKeys(t)
	_, where := startTCP(t, newFakeJobs(), ServerOptions{Auth: server})

	t.Run("our client, TLS", func(t *testing.T) {
		c := connect(t, "tcp:"+where, ClientOptions{Auth: client})
		if _, err := c.CacheStats(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("our client, a token on loopback", func(t *testing.T) {
		c := connect(t, where, ClientOptions{Auth: TokenAuth(client.Token())})
		if _, err := c.CacheStats(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("stock gob with a client certificate", func(t *testing.T) {
		conf := client.ClientTLS()
		conf.ServerName = "localhost"
		nc, err := tls.Dial("tcp", where, conf)
		if err != nil {
			t.Fatal(err)
		}
		submitStock(t, rpc.NewClient(nc))
	})
	t.Run("HTTPS with a token", func(t *testing.T) {
		conf := client.ClientTLS()
		conf.Certificates = nil
		hc := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
		defer hc.CloseIdleConnections()
		submitHTTP(t, hc, "https://"+where+"/rpc", client.Token())
	})
	t.Run("the time", func(t *testing.T) {
		r, err := SampleTime(t.Context(), "tcp:"+where, ClientOptions{Auth: client}, 4)
		if err != nil || r.Used < 3 || r.Epoch == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})

	// A server of its own: on the other one, connections may yet be turning to their next request.
	s, where := startTCP(t, newFakeJobs(), ServerOptions{Auth: server})
	t.Run("another's keys", func(t *testing.T) {
		_, stranger := makeKeys(t)
		_, err := Dial(t.Context(), "tcp:"+where, ClientOptions{Auth: stranger})
		if !errors.Is(err, mr.ErrRefused) {
			t.Errorf("got %v; want refused", err)
		}
		_, err = Dial(t.Context(), "tcp:"+where, ClientOptions{Auth: TokenAuth("guess")})
		if !errors.Is(err, mr.ErrRefused) {
			t.Errorf("got %v; want refused", err)
		}
		conf := stranger.ClientTLS()
		conf.InsecureSkipVerify = true // it doesn't ask who we are; we still ask who it is
		nc, err := tls.Dial("tcp", where, conf)
		if err == nil {
			err = rpc.NewClient(nc).Call("Jobs.List", ListRequest{}, &ListReply{})
			nc.Close()
		}
		if err == nil {
			t.Error("a certificate of another authority was taken")
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		nc, err := net.Dial("tcp", where)
		if err != nil {
			t.Fatal(err)
		}
		if err := rpc.NewClient(nc).Call("Jobs.List", ListRequest{}, &ListReply{}); err == nil {
			t.Error("gob without credentials was answered")
		}
		nc.Close()
		if nc, err = net.Dial("tcp", where); err != nil {
			t.Fatal(err)
		}
		if err := jsonrpc.NewClient(nc).Call("Jobs.List", ListRequest{}, &ListReply{}); err == nil {
			t.Error("JSON without credentials was answered")
		}
		nc.Close()
		conf := client.ClientTLS()
		conf.Certificates, conf.ServerName = nil, "localhost"
		tc, err := tls.Dial("tcp", where, conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := rpc.NewClient(tc).Call("Jobs.List", ListRequest{}, &ListReply{}); err == nil {
			t.Error("gob in TLS without credentials was answered")
		}
		tc.Close()
		hc := &http.Client{}
		defer hc.CloseIdleConnections()
		for _, token := range []string{"", "guess"} {
			if status, _ := post(t, hc, "http://"+where+"/rpc", token, `{"method":"Jobs.List"}`); status != http.StatusUnauthorized {
				t.Errorf("HTTP with token %q: %d", token, status)
			}
		}
	})
	if n := s.decoded.Load(); n != 0 {
		t.Errorf("%d requests without credentials reached a decoder", n)
	}
}

func TestServeRefusesTCPWithoutKeys(t *testing.T) {
	l, err := Listen("tcp:127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := NewServer(newFakeJobs(), ServerOptions{}).Serve(t.Context(), l); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("got %v; want refused", err)
	}
	if _, err := Listen("tcp:0.0.0.0:0"); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("beyond loopback: %v; want refused", err)
	}
	if _, err := Listen("tcp::0"); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("every interface: %v; want refused", err)
	}
	all, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(newFakeJobs(), ServerOptions{Auth: TokenAuth("t")})
	if err := s.Serve(t.Context(), all); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("a token alone beyond loopback: %v; want refused", err)
	}
}

func TestAuthFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := LoadServerAuth(dir); !errors.Is(err, mr.ErrRefused) || !strings.Contains(err.Error(), "auth init") {
		t.Errorf("no keys: %v", err)
	}
	if err := InitAuth(dir, AuthOptions{Hosts: []string{"db1.example", "10.1.2.3"}}); err != nil {
		t.Fatal(err)
	}
	if err := InitAuth(dir, AuthOptions{}); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("a second time: %v; want refused", err)
	}
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.Rename(filepath.Join(dir, "ca.key"), kept); err != nil {
		t.Fatal(err)
	}
	for what, keys := range map[string]string{"with what signs put away": dir, "of a copy for clients": filepath.Join(dir, "client"), "of the server's half": filepath.Join(dir, "server")} {
		if err := InitAuth(keys, AuthOptions{}); !errors.Is(err, mr.ErrRefused) {
			t.Errorf("keys %s: %v; want refused", what, err)
		}
	}
	a, err := LoadServerAuth(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"db1.example", "10.1.2.3", "localhost", "127.0.0.1"} {
		if err := a.serverTLS.Certificates[0].Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if err := chmod(filepath.Join(dir, "client", "token"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadClientAuth(dir); !errors.Is(err, mr.ErrRefused) || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a token that others can read: %v", err)
	}
}

func TestUnknownFirstBytes(t *testing.T) {
	_, addr := start(t, newFakeJobs(), ServerOptions{})
	for _, first := range []string{"\x00", "\x15\x03", "\xff\xff\xff", "mr/2 token=x\n", "moo", "~", "\x16\x03\x01"} {
		nc, err := net.Dial("unix", strings.TrimPrefix(addr, "unix:"))
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprint(nc, first, strings.Repeat("x", 600))
		if _, err := io.ReadAll(nc); errors.Is(err, errTimeout) {
			t.Errorf("%q: the connection stayed open", first)
		}
		nc.Close()
	}
}
