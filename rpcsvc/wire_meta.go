package rpcsvc

// WireVersion is the wire's major version. It changes only if old peers could
// misunderstand; added fields and methods don't count.
const WireVersion = 1

// HelloRequest introduces a client.
type HelloRequest struct {
	bound
	Client string `json:"client"` // program and version, for the log
	Wire   int    `json:"wire"`   // the client's WireVersion; 0: it does not say
}

// HelloReply introduces the server.
type HelloReply struct {
	Version    string   `json:"version"` // of the daemon
	Wire       int      `json:"wire"`
	Epoch      uint64   `json:"epoch"` // of this life of the daemon
	PID        int      `json:"pid"`
	Started    int64    `json:"started"`
	Store      string   `json:"store"`
	Features   []string `json:"features"`    // dialects and abilities, sorted
	MaxRequest int64    `json:"max_request"` // bytes a request may have
}
