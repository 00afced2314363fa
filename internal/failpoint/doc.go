// Package failpoint marks places where a crash, an error or a delay hurts most, and lets
// tests cause them there.
//
// A place calls Hit with its name, a constant "package/what-has-just-happened". In a
// release build Hit is an empty function that the compiler removes. Built with the tag
// failpoint, it consults the environment of the process:
//
//	MR_FAILPOINTS      TERM;TERM;…
//	MR_FAILPOINTS_LOG  a file to which each thing that was done is appended, as
//	                   "name action" and a line feed, before it is done
//
//	TERM   = name "=" ACTION [ "@" hit ] [ "?" file ]
//	ACTION = "kill"               SIGKILL to the process itself: nothing is flushed
//	       | "error:" errno       Hit returns ENOSPC, EDQUOT, EIO, EACCES or EROFS
//	       | "sleep:" duration    Hit returns nil later
//
// With @n a term acts at the n-th hit of its place only, counted from 1; without it, at
// each. With ?file it acts only while that file exists. A place may have several terms;
// the first that acts decides. MR_FAILPOINTS=trace logs each place that is hit, as
// "name hit", and does nothing else.
//
// Terms that can't be read end the process at the first hit: a test that injects nothing
// must not pass.
//
// Hit may be called from several goroutines at once.
package failpoint
