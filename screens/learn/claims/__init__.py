"""The page of the notes, checked. Begin with `claims_page`; `claim_checks` asks the engine for one experiment after the other."""
