package datum

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Compare orders two values of one type that are not NULL: -1, 0 or 1.
func Compare(a, b Value) int {
	switch x := a.(type) {
	case string:
		return strings.Compare(x, b.(string))
	case int64:
		return cmp.Compare(x, b.(int64))
	case float64:
		return cmp.Compare(x, b.(float64))
	case lsn.LSN:
		return cmp.Compare(x, b.(lsn.LSN))
	case time.Time:
		return x.Compare(b.(time.Time))
	case Span:
		return x.total().Digits.Cmp(b.(Span).total().Digits)
	case Number:
		y := b.(Number)
		scale := max(x.Scale, y.Scale)
		return x.Round(scale).Digits.Cmp(y.Round(scale).Digits)
	case netip.Prefix:
		return compareInet(x, b.(netip.Prefix))
	case bool:
		switch y := b.(bool); {
		case x == y:
			return 0
		case x:
			return 1
		}
		return -1
	}
	panic(fmt.Sprintf("datum: a %T has no order", a))
}

// compareInet orders by family, then by network, then by the length of it, then by address.
func compareInet(a, b netip.Prefix) int {
	if a.Addr().BitLen() != b.Addr().BitLen() {
		return cmp.Compare(a.Addr().BitLen(), b.Addr().BitLen())
	}
	common := min(a.Bits(), b.Bits())
	if c := bytes.Compare(network(a, common), network(b, common)); c != 0 {
		return c
	}
	if a.Bits() != b.Bits() {
		return cmp.Compare(a.Bits(), b.Bits())
	}
	return a.Addr().Compare(b.Addr())
}

func network(p netip.Prefix, bits int) []byte {
	return netip.PrefixFrom(p.Addr(), bits).Masked().Addr().AsSlice()
}
