"""Take a name that git can't store, so that the campaign stumbles over it for ever."""

# ends: honest or refused
# admission: lets it in
# author: Eve\x00 <e@example.org>
BITS = 1
