// Command mrctl is the command line of mr.
//
// An app is one invocation: the streams, the environment, and the system that it may reach. It parses
// its line and, for most verbs, opens a session: a connection to the daemon that serves the store, or
// a node, the engine in this process, when no daemon does. Either way the verb talks to an mr.Jobs
// and cannot tell which.
//
// Results go to stdout and everything else to stderr. Every verb returns an error, and exit.Status
// alone turns it into an exit status. There is one file a verb; what several verbs share is in files
// named after it: line (what was typed), code (what JOB stands for), session, follow (waiting for a
// job), progress, summary, statusjson, table.
package main
