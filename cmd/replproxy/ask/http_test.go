package ask

import "testing"

func TestHTTPBase(t *testing.T) {
	for addr, want := range map[string]string{
		":6580": "http://127.0.0.1:6580", "0.0.0.0:1": "http://127.0.0.1:1", "[::]:1": "http://127.0.0.1:1", "db1:6580": "http://db1:6580",
		"https://db1:6580": "https://db1:6580", "http://db1:1/": "http://db1:1",
	} {
		if got, err := (&HTTP{Addr: addr}).Base(); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", addr, got, err, want)
		}
	}
}
