package handshake

import (
	"slices"
	"testing"
)

func TestSplitOptions(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"  ", nil},
		{"-c a=b", []string{"-c", "a=b"}},
		{" \t-c  a=b\n-d ", []string{"-c", "a=b", "-d"}},
		{`a\ b c`, []string{"a b", "c"}},
		{`a\\b`, []string{`a\b`}},
		{`a\`, []string{"a"}},
		{`\`, []string{""}},
	} {
		if got := SplitOptions(tc.in); !slices.Equal(got, tc.want) {
			t.Errorf("%q: %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestSetting(t *testing.T) {
	for _, tc := range []struct {
		params Params
		want   string
		ok     bool
	}{
		{Params{{"user", "u"}}, "", false},
		{Params{{"wal_sender_timeout", "5s"}}, "5s", true},
		{Params{{"Wal_Sender_Timeout", "5s"}}, "5s", true},
		{Params{{"wal_sender_timeout", "5s"}, {"wal_sender_timeout", "6s"}}, "6s", true},
		{Params{{"options", "-c wal_sender_timeout=7s"}}, "7s", true},
		{Params{{"options", "-cwal_sender_timeout=7s"}}, "7s", true},
		{Params{{"options", "--wal-sender-timeout=7s"}}, "7s", true},
		{Params{{"options", "-c wal_sender_timeout=7s -c wal_sender_timeout=8s"}}, "8s", true},
		{Params{{"options", `-c wal_sender_timeout=1\ min`}}, "1 min", true},
		{Params{{"wal_sender_timeout", "5s"}, {"options", "-c wal_sender_timeout=7s"}}, "5s", true},
		{Params{{"options", "-c wal_sender_timeout"}}, "", false},
		{Params{{"options", "-c"}}, "", false},
		{Params{{"options", "-B 5 -c other=1"}}, "", false},
		{Params{{"options", "-ec wal_sender_timeout=9s"}}, "9s", true},
		{Params{{"options", "-c wal_sender_timeout=9s -Z -c wal_sender_timeout=8s"}}, "9s", true},
	} {
		r := &Request{Params: tc.params}
		if got, ok := r.Setting("wal_sender_timeout"); got != tc.want || ok != tc.ok {
			t.Errorf("%q: %q %v, want %q", tc.params, got, ok, tc.want)
		}
	}
	r := &Request{Params: Params{{"options", "-c user=x -c database=y"}}}
	if v, _ := r.Setting("user"); v != "x" {
		t.Errorf("a setting named user within options: %q", v)
	}
}
