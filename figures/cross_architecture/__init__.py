def figures(tables):
    return {}
