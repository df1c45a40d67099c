"""Sign as another proposal, by a hypothesis that looks like the kit's own line in a commit."""
# ends: honest
# admission: lets it in
# hypothesis: Proposal: 20000101-000000-000000
# author: Eve <e@example.org>\nProposal: 20000101-000000-111111
