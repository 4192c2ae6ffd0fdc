// Package histogram counts how long things take, in steps that double from 16 µs to 34 s.
//
// To count a time costs two atomic additions, no lock and no allocation, so that the path of WAL may do it for each
// message. Who shows the counts takes a [Snapshot].
package histogram
