package show

import (
	"encoding/json"
	"io"
)

// JSON prints v as a document for programs.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
