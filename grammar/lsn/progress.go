package lsn

// Progress has the three columns in which replication counts. WAL up to Write was given to the operating system, up to
// Flush it survives power loss, up to Apply it was replayed; 0 is "no position". Of a standby's report, of what a rule
// covers and of what the primary is told alike.
type Progress struct{ Write, Flush, Apply LSN }

// UpTo returns p with nothing beyond limit.
func (p Progress) UpTo(limit LSN) Progress {
	return Progress{Write: min(p.Write, limit), Flush: min(p.Flush, limit), Apply: min(p.Apply, limit)}
}
