// Package clock estimates the master's time with an honest bound, by Cristian's
// algorithm.
//
// # Nouns
//
//   - A Request and its Reply are one exchange. The client stamps T1 when it sends
//     and T4 when it receives, both on its monotonic clock; the master stamps T2 and
//     T3, on its own.
//   - A Sample is an exchange as measured. The master's clock minus the client's lies
//     in [T3−T4, T2−T1], whatever the delays were and however unequal.
//   - The Core intersects samples, ages the result by what two clocks may drift apart,
//     and watches for what would make it false. It is pure: no I/O, no goroutine, and
//     every reading of a clock is handed to it.
//   - A Clock is a Core with a mutex, the machine's clocks and an Exchanger.
//   - A Master is the other side: the clock that is asked. Service offers it as the
//     net/rpc method Time.Now.
//
// # Contract
//
// While the assumptions hold, the master's clock at the moment of a reading is inside
// the interval of that reading. The assumptions are three: each clock's rate is within
// the allowance (50 ppm unless set) of true seconds; the master stamps T2 after the
// request arrived and T3 before the reply left; a step of the master's clock comes with
// a new Epoch. What breaks them and can be noticed is noticed: a suspend of this
// machine, a restart or step of the master, a reply that cannot be, samples that
// contradict each other. Then the Clock is Disrupted, says why, and answers with an
// error until enough samples agree again. It never answers with a guess or an average.
//
// The interval says what the master's clock showed. It does not order events, and
// durations belong to the monotonic clock.
//
// # Invariants
//
//   - Earliest ≤ Latest in every answer.
//   - Reading never decreases in the life of a Core, not even across disruptions.
//   - A bound shrinks only by a sample; between samples it grows.
package clock
