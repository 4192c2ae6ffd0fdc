package scene

import ()

// PartitionsPassword is the roles' password. Without one nobody gets in, because a proxy lends nobody its address
// (ruling R1).
const PartitionsPassword = "geheim"
