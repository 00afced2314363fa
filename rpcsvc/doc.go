// Package rpcsvc carries the engine and the master's time over net/rpc: listeners,
// codecs, limits, the services, and the client.
//
// # Nouns
//
//   - A Server offers an mr.Jobs and a clock.Master on any number of listeners.
//   - A Client is an mr.Jobs whose engine is elsewhere.
//   - The services are Jobs, Time and Meta; their requests and replies are the types of
//     wire_*.go, held by a golden file. Fields are only ever added.
//   - A dialect is a way to speak on the one port: net/rpc's gob, JSON-RPC 1.0, or
//     HTTP POST /rpc; TLS may be around any. The first byte tells which.
//   - Auth are the keys of a server and its clients.
//
// # Contract
//
// Server: nothing that an unauthenticated peer sent reaches a gob or JSON decoder. On a
// unix socket the kernel says who the peer is, and only the daemon's own user (or root)
// is served; on TCP a peer shows a client certificate or a token, and beyond the
// loopback interface TLS is required. A request costs at most its byte budget, and what
// exceeds a limit is refused, not queued for ever. A panic in a handler is that call's
// error.
//
// Client: every call returns when its ctx ends. All calls may be repeated without
// harm (Submit because of its SubmitID), so a broken connection is redialled and the
// call made again, with full jitter, until it is answered or ClientOptions.RetryFor is over.
//
// Errors cross the wire as "kind: message" and come back as *mr.Error, so that
// errors.Is(err, mr.ErrRefused) answers alike on both sides.
//
// # Invariants
//
//   - Each reply is written to a Reply value of its own: a call that was given up never
//     writes to memory that its caller still reads.
//   - A write error closes its connection.
//   - Serve returns only when every goroutine it started is gone.
package rpcsvc
