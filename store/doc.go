// Package store keeps records and runs durably in bbolt.
//
// # Nouns
//
// A store is a folder:
//
//	lock              who has the store open (flock; holds the writer's pid)
//	catalog.db        every record, in tables, and every run's record
//	volumes/NNNNNN.db the bytes of runs
//
// A Table maps byte strings to byte strings; its records belong to other packages.
// A run is a sequence of blocks (blobs) that is written once, becomes visible as a
// whole, and is read in any order. A volume is a bbolt file that runs are appended
// to until it has reached its cap.
//
// # Contract
//
// The catalog is the only commit point. A run's bytes are made durable in a volume
// by Seal; they mean nothing until CommitRun has put the run's record into the
// catalog, in the same transaction as whatever says what the run is. When Update
// returns nil, everything its function wrote survives a crash; when it returns an
// error, nothing of it does, except that ErrUncertain says that only the disk knows.
//
// Runs without a record (the process died between Seal and CommitRun, or the run
// was discarded or deleted) are garbage bytes inside their volume. Nothing is ever
// deleted inside a volume: GC unlinks volumes without a live run, and moves the
// live runs out of those that are mostly dead.
//
// A run id is (epoch << 32 | counter). The epoch is durable before Open returns,
// so an id is never used twice, and a new process never adds to a run of an old one.
//
// After a crash a volume is used for appending again. bbolt's commit is atomic, so
// whatever the volume holds is whole; sealing it instead would leave a nearly empty
// volume behind for every invocation of a short-lived command.
//
// # Damage
//
// Volumes may be damaged: bbolt has no page checksums, and a bad page can send it
// anywhere. So reading never follows bbolt's memory map: it walks the pages with
// plain reads and checks every bound (page.go), inside a read transaction that
// keeps the pages from being used again. A volume that cannot be read costs its own
// runs (ErrDamaged) and nothing else. A damaged catalog is refused by Open.
//
// # Callers
//
// Everything may be called from several goroutines at once, except the methods of one
// RunWriter and of one RunReader. Update must not be called inside Update or View.
package store
