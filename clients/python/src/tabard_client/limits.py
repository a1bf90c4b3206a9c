"""Every size this client keeps to, with its unit and its reason."""

# The collector refuses a message above 32 KiB and a batch above 500 kB (512,000 bytes here); 475,000 leaves
# room for the envelope, as in the published SDKs.
MESSAGE_BYTES_MAX = 32 * 1024
BATCH_BYTES_MAX = 475_000
# What Segment and Tabard take; Customer.io names no number.
BATCH_MESSAGES_MAX = 2_500
# Where so many wait, a batch goes at once, as in the published SDKs.
GATHER_MESSAGES = 100

# The collector refuses a longer one.
MESSAGE_ID_CHARS_MAX = 255

# The collector refuses deeper JSON.
DEPTH_MAX = 64

# A spool is cut into files of this size, so that what was sent can be deleted while the server is slow.
SEGMENT_BYTES_MAX = 8 * 1024 * 1024
# Files of dead processes one process holds at a time: each costs a file descriptor.
ADOPTED_SEGMENTS_MAX = 64

# Answers are read up to here; the collector's are far smaller.
ANSWER_BYTES_MAX = 256 * 1024
