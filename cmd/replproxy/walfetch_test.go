package main

import "testing"

// TestConninfoOf: the file of a proxy on this machine says how wal-fetch -c reaches it.
func TestConninfoOf(t *testing.T) {
	for _, c := range []struct {
		listen []string
		want   string
	}{
		{[]string{":6543"}, "host=localhost port=6543"},
		{[]string{"0.0.0.0:7000"}, "host=localhost port=7000"},
		{[]string{"[::]:7000"}, "host=localhost port=7000"},
		{[]string{"unix:/run/replproxy", "10.0.0.1:7000"}, "host=10.0.0.1 port=7000"},
		{[]string{"unix:/run/rep proxy"}, "host='/run/rep proxy' port=6543"},
		{[]string{"unix:/run/replproxy/.s.PGSQL.7001"}, "host='/run/replproxy' port=7001"},
	} {
		if got := conninfoOf(c.listen); got != c.want {
			t.Errorf("%q: %s, want %s", c.listen, got, c.want)
		}
	}
}

// TestFileOnEachCommand: each command that means a proxy takes the proxy's file.
func TestFileOnEachCommand(t *testing.T) {
	alone := map[string]bool{"completion": true, "demo": true, "man": true, "reference": true, "version": true}
	for _, c := range rootCommand(nil, nil).Commands() {
		if f := c.Flags().ShorthandLookup("c"); (f == nil) != alone[c.Name()] {
			t.Errorf("replproxy %s: -c is %v", c.Name(), f)
		}
	}
}
