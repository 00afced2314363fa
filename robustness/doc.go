// Package robustness holds the tests that hurt: they run real daemons with real jobs,
// kill, stop and starve them, damage what they have stored, and then compare the output,
// byte for byte, with a sequential run that shares no code with the engine.
//
// go test runs a short round of each; make crash ROUNDS=N the long form. Every round is
// drawn from a seed that is printed when it fails; MR_CRASH_SEED=x replays it.
package robustness
