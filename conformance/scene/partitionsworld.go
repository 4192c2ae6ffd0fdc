package scene

import ()

// PartitionsPassword is needed because a proxy lends nobody its address (ruling R1).
const PartitionsPassword = "geheim"
