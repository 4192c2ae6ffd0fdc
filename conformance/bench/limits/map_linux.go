package limits

import "syscall"

// mapNow brings all pages in when a file is mapped, so that nobody who sends waits for one.
const mapNow = syscall.MAP_POPULATE
