package ask

import (
	"encoding/json"
	"fmt"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/tail"
)

// FencePath returns the path and query by which a proxy is told to fence timelines up to one, also above all that are
// known where force is set.
func FencePath(timeline string, force bool) (string, error) {
	t, err := tail.ParseTimeline(timeline)
	if err != nil {
		return "", err
	}
	path := "/fence?timeline=" + t.String()
	if force {
		path += "&force=yes"
	}
	return path, nil
}

// Ending reads the answer of a proxy that was fenced, as JSON. An error says that it is none.
func Ending(body []byte) (e cluster.Ending, err error) {
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("read the answer of the proxy: %w", err)
	}
	return e, nil
}
