package lsn

import "bytes"

// AncestorFile returns the history file of ancestor, as PostgreSQL wrote it, from the content of a descendant's. A
// server that is promoted begins its file with its parent's, and adds a line behind an empty one (timeline.c:
// writeTimeLineHistory). false: content does not lead through that timeline, or it is 1, which has no file.
func AncestorFile(ancestor TimelineID, content []byte) (file []byte, ok bool) {
	for line := range bytes.Lines(content) {
		text := string(bytes.TrimSpace(line))
		if e, err := parseHistoryLine(text); err == nil && text[0] != '#' && e.Timeline == ancestor {
			if bytes.HasSuffix(file, []byte("\n\n")) {
				file = file[:len(file)-1]
			}
			return file, ancestor > 1
		}
		file = append(file, line...)
	}
	return nil, false
}
