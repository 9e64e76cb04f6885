// Package fusefs is the mount: it shows the points of a repository as
// read-only directories.
//
//	README.txt                         how to restore
//	daily/2026-11-20/app/…             what stood in the point; hourly, weekly,
//	                                   monthly, pinned and incomplete likewise
//	latest/app                         a symlink into at/
//	at/2026-11-20T140003/app/…         every complete point; not listed
//	hosts/<host>/daily/…               the same for every host
//
// The kernel asks by number: each node has a kernel id. Nothing is remembered
// of a node. What an id stands for is found again each time, on one path:
//
//	id ──▶ find ──┬─▶ above the points: its path from the [table], followed
//	              │   from the top through directories (views.go)
//	              └─▶ in a point: number of the point, from the [table], and
//	                  rank in its tree, from the totals (points.go)
//
//	top ─▶ host ─▶ view ─▶ period ─▶ root of a point ─▶ node of its tree
//
// So FORGET is nothing to do, and memory does not follow what was looked at.
// What was found lately is kept, by ids, by points and by open files; nothing
// but speed rests on it.
//
// Below a point everything is immutable, and the kernel may keep it without
// end. Above, it asks again after a second.
//
// Every request runs on its own, without a lock across any wait. A reader who
// is interrupted gets EINTR and takes nobody along. What cannot be read is
// EIO, and the log says what it is; ENOENT is said of what does not exist and
// of nothing else. The one place where errors become errnos is errno.go.
//
// What is shown comes from a [World], content from [Chunks]. This package is
// the only one that knows go-fuse, of which it uses the raw API: ids are then
// computed, not counted.
package fusefs
