"""placeholder"""
def standing_checks():
    return ()
