package config

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]Size{
		"16MB": 16 * mib, "1GB": gib, "1.5GB": gib + gib/2, " 2 TB ": 2 << 40, "64": 64 * mib, "0": 0,
		"8kB": 8192, "12B": 12, ".5MB": mib / 2,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MB", "1mb", "1 gigabyte", "-1MB", "1e3MB", "1..2MB", "99999999TB", "1MB2", "10%"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q: %d, want an error", in, got)
		}
	}
}

func TestSizePrintsWhatItReads(t *testing.T) {
	for _, text := range []string{"0B", "12B", "8kB", "16MB", "1536MB", "3GB", "2TB"} {
		s, err := ParseSize(text)
		if err != nil || s.String() != text {
			t.Errorf("%s: %s, %v", text, s, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"60s": time.Minute, "1min": time.Minute, "500ms": time.Second / 2, "2h": 2 * time.Hour, "1d": 24 * time.Hour,
		"10us": 10 * time.Microsecond, "7": 7 * time.Second, "1.5min": 90 * time.Second,
	} {
		if got, err := ParseDuration(in, time.Second); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "s", "1m", "1 minute", "-1s"} {
		if got, err := ParseDuration(in, time.Second); err == nil {
			t.Errorf("%q: %v, want an error", in, got)
		}
	}
}

func TestShare(t *testing.T) {
	for in, want := range map[string]int64{"10%": 100, "0%": 0, "2.5 %": 25, "1kB": 1024} {
		s, err := parseShare(in)
		if err != nil || s.Of(1000) != want {
			t.Errorf("%q: %d, %v; want %d", in, s.Of(1000), err, want)
		}
	}
	for _, in := range []string{"100%", "-1%", "x%", "%", "NaN%", "ten"} {
		if s, err := parseShare(in); err == nil {
			t.Errorf("%q: %v, want an error", in, s)
		}
	}
}

// TestTCPOptions: as PostgreSQL reads its settings of these names; what the kernel would refuse is refused here.
func TestTCPOptions(t *testing.T) {
	for in, want := range map[string]time.Duration{"0": 0, "60": time.Minute, "2min": 2 * time.Minute, "32767": 32767 * time.Second} {
		if got, err := parseKeepalive(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"-1", "32768", "1500ms", "x"} {
		if got, err := parseKeepalive(in); err == nil {
			t.Errorf("%q: %v, want an error", in, got)
		}
	}
	for in, want := range map[string]time.Duration{"0": 0, "1500": 1500 * time.Millisecond, "30s": 30 * time.Second} {
		if got, err := parseUserTimeout(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"-1", "2147483648", "10us"} {
		if got, err := parseUserTimeout(in); err == nil {
			t.Errorf("%q: %v, want an error", in, got)
		}
	}
}
