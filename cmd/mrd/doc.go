// Command mrd is the daemon of mr: it holds a store, runs the jobs in it, and serves them on sockets.
//
// It opens the store before it listens, so that nobody reaches an engine that does not hold its store,
// and what jobs were under way go on by themselves. It always listens on the socket inside the store,
// because that is how mrctl finds it; each --listen adds an address.
//
// The first SIGTERM, SIGINT or SIGHUP drains: no task is started, requests in flight are answered, and the
// process exits 0 within ten seconds. What did not end by then is done again at the next start.
package main
